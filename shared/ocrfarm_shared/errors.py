"""Every error that the farm answers with, in one tree.

    OcrFarmError
    ├── RequestError              the caller can mend it
    │   ├── BadOption             422 bad_option
    │   ├── UnknownProfile        422 unknown_profile
    │   ├── IdempotencyConflict   422 idempotency_conflict
    │   ├── MissingFile           400 missing_file
    │   ├── TooLarge              413 too_large
    │   │   └── ZipBomb           413 zip_bomb
    │   ├── UnsupportedType       415 unsupported_type
    │   ├── NotFound              404 not_found
    │   ├── MethodNotAllowed      405 method_not_allowed
    │   ├── AlreadyEnded          409 already_ended
    │   ├── NotSucceeded          409 not_succeeded
    │   ├── BatchClosed           409 batch_closed
    │   ├── BatchFull             413 batch_full
    │   ├── CannotJoin            409 cannot_join       (a node, to this farm)
    │   ├── Expired               410 expired
    │   ├── Unauthorized          401 unauthorized
    │   ├── Forbidden             403 forbidden
    │   └── OverQuota             429 over_quota
    ├── DocumentError             the bytes were accepted, and cannot be read
    │   ├── EmptyFile             empty_file
    │   ├── Unreadable            unreadable        (truncated, damaged, not an image after all)
    │   ├── Encrypted             encrypted
    │   ├── TooManyPages          too_many_pages
    │   ├── TooManyPixels         too_many_pixels
    │   ├── NoSuchPage            no_such_page
    │   ├── DecodeCrashed         decode_crashed    (the process that opens files died of this one)
    │   ├── DecodeMemory          decode_memory     (over that process's memory cap)
    │   └── DecodeTimeout         decode_timeout    (over its processor time)
    └── FarmError                 the farm's own trouble
        ├── FarmFull              503 farm_full
        ├── FarmUnavailable       503 farm_unavailable
        ├── WorkerLost            worker_lost       (the process died under the page)
        ├── Timeout               timeout
        ├── OutOfMemory           out_of_memory
        ├── DeadlineExceeded      deadline_exceeded
        ├── BlobMissing           410 blob_missing
        ├── NodeDiskFull          node_disk_full    (of a node that joined)
        ├── ModelUnavailable      model_unavailable
        └── Internal              internal          (unknown: a generic sentence out, everything to the log)

Each class carries `code` (stable, part of the interface), `status` (HTTP), `retryable` (whether the farm tries again by itself, and
whether a caller may), `attempts` (how many at the most; None: as many as the farm is set to), `dead_letter` (whether a job that ends so is
kept as a dead letter) and a public message that says what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:  # the decoding child raises these errors, and pydantic would be a third of its memory
    from ocrfarm_shared.contracts import Failure


class OcrFarmError(Exception):
    """Root. `str(error)` is the public message."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False
    dead_letter: ClassVar[bool] = False
    attempts: ClassVar[int | None] = None
    default: ClassVar[str] = "Something went wrong on our side; the log of the farm has the details."

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(message or self.default)
        self.retry_after = retry_after

    def failure(self) -> Failure:
        from ocrfarm_shared.contracts import Failure

        return Failure(code=self.code, message=str(self), retryable=self.retryable)


class RequestError(OcrFarmError):
    code, status, title, default = "bad_request", 400, "Bad request", "The request cannot be understood."


class BadOption(RequestError):
    code, status, title = "bad_option", 422, "Bad option"
    default = "An option is not valid; see /docs for those there are."


class UnknownProfile(RequestError):
    code, status, title = "unknown_profile", 422, "Unknown profile"
    default = "There is no such profile; GET /v1/profiles lists those there are."


class IdempotencyConflict(RequestError):
    code, status, title = "idempotency_conflict", 422, "Idempotency key used before"
    default = "This Idempotency-Key was used for another document or other options; use a new key."


class MissingFile(RequestError):
    code, status, title = "missing_file", 400, "No file"
    default = 'Send the document as the multipart field `file`, as the raw body, or as JSON {"base64": …}.'


class TooLarge(RequestError):
    code, status, title = "too_large", 413, "Too large"
    default = "The upload is larger than this farm takes; split it or reduce its resolution."


class ZipBomb(TooLarge):
    code, title = "zip_bomb", "Zip bomb"
    default = "The zip unpacks to far more than documents do; what is left of it is not opened."


class UnsupportedType(RequestError):
    code, status, title = "unsupported_type", 415, "Not a document"
    default = "The file is none of PNG, JPEG, WebP, BMP, GIF, TIFF, PDF; convert it to one of these."


class NotFound(RequestError):
    code, status, title, default = (
        "not_found",
        404,
        "Not found",
        "There is no such thing here, or its record has expired.",
    )


class MethodNotAllowed(RequestError):
    code, status, title, default = (
        "method_not_allowed",
        405,
        "Method not allowed",
        "This address takes another method; see /docs.",
    )


class AlreadyEnded(RequestError):
    code, status, title, default = (
        "already_ended",
        409,
        "Already ended",
        "The job has ended; nothing is left to cancel.",
    )


class NotSucceeded(RequestError):
    code, status, title, default = (
        "not_succeeded",
        409,
        "No result",
        "The job did not succeed, so that it has no result.",
    )


class BatchClosed(RequestError):
    code, status, title = "batch_closed", 409, "Batch closed"
    default = "The batch is closed and takes no more files; make another for them."


class BatchFull(RequestError):
    code, status, title = "batch_full", 413, "Batch full"
    default = "The batch holds as many documents as this farm takes in one; make another for the rest."


class CannotJoin(RequestError):
    code, status, title = "cannot_join", 409, "Cannot join"
    default = (
        "This farm does not say how nodes elsewhere reach its Redis. Whoever runs it sets OCRFARM_REDIS_HOST (for the Redis that "
        "`ocrfarm up` starts) or OCRFARM_NODE_REDIS_URL (for one of its own), and starts it again."
    )


class Expired(RequestError):
    code, status, title, default = "expired", 410, "Expired", "The result has expired; submit the document again."


class Unauthorized(RequestError):
    code, status, title = "unauthorized", 401, "Key needed"
    default = "Send an API key as `X-API-Key: …` or `Authorization: Bearer …`; the client and the commands take it from OCRFARM_API_KEY."


class Forbidden(RequestError):
    code, status, title, default = "forbidden", 403, "Forbidden", "This API key's role does not allow that."


class OverQuota(RequestError):
    code, status, title, retryable = "over_quota", 429, "Over quota", True
    default = "Your quota is used up for the moment; try again after Retry-After seconds."


class DocumentError(OcrFarmError):
    code, status, title, default = "unreadable", 422, "Unreadable document", "The document cannot be read."


class EmptyFile(DocumentError):
    code, default = "empty_file", "The file is empty (0 bytes); send the document itself."


class Unreadable(DocumentError):
    code, default = "unreadable", "The file is damaged or cut short and cannot be opened; export or scan it again."


class Encrypted(DocumentError):
    code, default = "encrypted", "The PDF is protected by a password; send it without one."


class TooManyPages(DocumentError):
    code, default = (
        "too_many_pages",
        "The document has more pages than this farm takes; split it, or choose some with `pages`.",
    )


class TooManyPixels(DocumentError):
    code, default = "too_many_pixels", "The page has more pixels than this farm takes; scale it down."


class NoSuchPage(DocumentError):
    code, default = "no_such_page", "None of the pages asked for exists in this document."


class DecodeCrashed(DocumentError):
    code, default = (
        "decode_crashed",
        "Opening this file ended the program that does it; the file is damaged or far too complex: export or scan it again.",
    )


class DecodeMemory(DocumentError):
    code, default = (
        "decode_memory",
        "Opening this page needs more memory than this farm gives one; send it at a lower resolution.",
    )


class DecodeTimeout(DocumentError):
    code, default = (
        "decode_timeout",
        "Opening this page takes longer than this farm allows; export it again, flattened or at a lower resolution.",
    )


class FarmError(OcrFarmError):
    retryable, dead_letter = True, True


class FarmFull(FarmError):
    code, status, title, default = (
        "farm_full",
        503,
        "Farm full",
        "The farm's queue is full; try again after Retry-After seconds.",
    )


class FarmUnavailable(FarmError):
    code, status, title = "farm_unavailable", 503, "Farm unavailable"
    default = (
        "The farm's store cannot be reached; try again after Retry-After seconds. Jobs that were accepted are safe."
    )


class WorkerLost(FarmError):
    code, default = (
        "worker_lost",
        "The worker process died while it read this page, each time it was tried; the page may be too large for the node.",
    )


class Timeout(FarmError):
    attempts = 2  # each costs a process its whole time limit, and a page that hangs once mostly hangs again
    code, default = "timeout", "Reading this page took longer than the farm allows; send it at a lower resolution."


class OutOfMemory(FarmError):
    code, default = (
        "out_of_memory",
        "Reading this page needed more memory than the node has; send it at a lower resolution.",
    )


class DeadlineExceeded(FarmError):
    code, retryable, dead_letter = "deadline_exceeded", False, False
    default = "The job's deadline passed before it was finished."


class BlobMissing(FarmError):
    code, status, title = "blob_missing", 410, "Upload gone"
    default = "The uploaded file is no longer in the store; submit the document again."


class NodeDiskFull(FarmError):
    code, default = (
        "node_disk_full",
        "The disk of the node that took this page is full, so that the document could not be fetched; free some of it, or lower "
        "OCRFARM_NODE_CACHE_MB there.",
    )


class ModelUnavailable(FarmError):
    code, default = (
        "model_unavailable",
        "The model for this profile could not be loaded; run `ocrfarm doctor` on the node.",
    )


class Internal(FarmError):
    code = "internal"


def no_file(path: object) -> str:
    """What is said of a path that leads to no file, wherever it is given."""
    return f"There is no file {path}; check the name and the folder."


def _tree(root: type[OcrFarmError]) -> dict[str, type[OcrFarmError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


BY_CODE: dict[str, type[OcrFarmError]] = _tree(OcrFarmError) | {"internal": Internal, "unreadable": Unreadable}


def from_failure(failure: Failure) -> OcrFarmError:
    """The error that a stored failure stands for; an unknown code (a newer node's) becomes `Internal`."""
    return BY_CODE.get(failure.code, Internal)(failure.message)
