"""The use case: a received document becomes a job. No HTTP types here.

One script of the ledger does it, and publishes the first unit. It is asked at once: where some job holds the same upload already (a cache
hit, a run to join, another reading), that is all. Else it answers that the upload must be stored, and keeps it from being unlinked; the
file is brought to its name and to the disk, and the script is asked again. A gateway that dies in between leaves a file that the
dispatcher removes, never half a job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ocrfarm_api.admission import admit, limits_of, refused
from ocrfarm_api.callers import Caller
from ocrfarm_api.deps import Farm
from ocrfarm_api.intake import Received
from ocrfarm_api.kinds import MANY
from ocrfarm_api.options import check_single_page
from ocrfarm_api.waiting import find
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.contracts import CacheMode, Submission
from ocrfarm_shared.errors import (
    BatchClosed,
    BatchFull,
    Expired,
    FarmUnavailable,
    IdempotencyConflict,
    NotFound,
    OcrFarmError,
    TooLarge,
    Unauthorized,
)
from ocrfarm_shared.fingerprint import cache_key, reader_print, request_print
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.calls import Submitted, Upload
from ocrfarm_shared.ledger.place import Place
from ocrfarm_shared.ledger.records import JobRecord
from ocrfarm_shared.profiles import get_profile, read_with
from ocrfarm_shared.telemetry import log_context, note

log = logging.getLogger(__name__)

NO_BATCH = "There is no such batch here, or its record has expired."
UNLINKING_S = 5.0  # milliseconds as a rule; a dispatcher that died in between holds an upload for 30 s


@dataclass(frozen=True)
class _Key:
    """An Idempotency-Key, and what must be the same for it to mean the same request."""

    key: str | None
    named: str


async def submit(
    farm: Farm, caller: Caller, received: Received, submission: Submission, idempotency_key: str | None = None
) -> JobRecord:
    """Raises FarmFull, OverQuota, IdempotencyConflict, NoSuchPage, FarmUnavailable and the ledger's RedisError."""
    key = _Key(idempotency_key, request_print(received.content, submission.ocr) if idempotency_key else "")
    answer = await _put(farm, caller, received, submission, key)
    assert answer.record is not None
    return answer.record


async def add(
    farm: Farm,
    caller: Caller,
    received: Received,
    submission: Submission,
    place: Place,
    turn: Callable[[], Awaitable[None]],
) -> Submitted:
    """The same, into a batch. `turn` is awaited before anything is recorded, so that items are numbered in the order in which they came
    although several are stored at a time. Raises BatchClosed, BatchFull and NotFound too. The answer has no record where the same item was
    there already as a file that became no job, or its job is gone."""
    return await _put(farm, caller, received, submission, _Key(None, ""), place, turn)


async def _put(
    farm: Farm,
    caller: Caller,
    received: Received,
    submission: Submission,
    key: _Key,
    place: Place | None = None,
    turn: Callable[[], Awaitable[None]] | None = None,
) -> Submitted:
    if not received.kind.many:
        check_single_page(submission.ocr.pages)
    upload = Upload(
        BlobStore.name(caller.tenant, received.content), received.kind.media_type, received.size, received.kind.many
    )

    async def store() -> None:
        keep = farm.blobs.keep
        await asyncio.get_running_loop().run_in_executor(farm.threads, keep, received.temporary, upload.blob)

    return await _enter(farm, caller, upload, submission, key, store, came=received.size, place=place, turn=turn)


async def again(farm: Farm, caller: Caller, job_id: str, idempotency_key: str | None = None) -> JobRecord:
    """Read a job's document again, as a new job with the same options; the cache is not asked, and is refreshed.

    A new job, because the old one has reached its end, and a job does that once. Raises as `submit` and `admit` do, NotFound, and Expired
    where the upload is gone.
    """
    record = await find(farm, caller.tenant, job_id)
    if record.gone:
        raise Expired
    await admit(farm, caller)  # its result needs room like any other
    cache = CacheMode.OFF if record.submission.cache is CacheMode.OFF else CacheMode.REFRESH
    submission = record.submission.model_copy(update={"cache": cache})
    media_type = record.view.media_type or ""
    upload = Upload(record.blob, media_type, record.view.size or 0, media_type in MANY)

    async def store() -> None:
        raise Expired("The document of this job is no longer kept; submit it again.")

    key = _Key(idempotency_key, f"again:{job_id}")
    answer = await _enter(farm, caller, upload, submission, key, store, came=0)
    assert answer.record is not None
    return answer.record


async def _enter(
    farm: Farm,
    caller: Caller,
    upload: Upload,
    submission: Submission,
    key: _Key,
    store: Callable[[], Awaitable[None]],
    *,
    came: int,
    place: Place | None = None,
    turn: Callable[[], Awaitable[None]] | None = None,
) -> Submitted:
    limits = limits_of(farm, caller)
    if 0 < limits.bytes_per_day < came:
        raise TooLarge(
            f"This document alone is larger than the {limits.bytes_per_day / 1e6:g} MB that you may send in 24 hours."
        )
    versions = read_with(get_profile(submission.ocr.profile))
    found = farm.blobs.path(upload.blob).exists()
    call = calls.submit(
        tenant=caller.tenant,
        limits=limits,
        upload_bytes=came,
        key_id=caller.key_id,
        upload=upload,
        submission=submission,
        cache_key=cache_key(caller.tenant, upload.blob.partition("/")[2], submission.ocr, versions),
        settings=farm.settings,
        idempotency_key=key.key,
        idempotency_print=key.named,
        reader=reader_print(versions),
        stored=False,
        found=found,
        place=place,
    )
    if turn is not None and found:  # else the first answer is that it must be stored
        await turn()
    loop = asyncio.get_running_loop()
    limit = loop.time() + UNLINKING_S
    while (answer := await farm.ledger(call)).outcome == "wait":
        if loop.time() > limit:
            raise FarmUnavailable("This document is just being removed; send it again in a moment.", retry_after=5)
        await asyncio.sleep(0.02)
    if answer.outcome == "store":
        await store()
        if turn is not None:
            await turn()
        answer = await farm.ledger(calls.stored(call))
    if answer.refusal is not None:
        farm.let_in.forget(caller.tenant)
        raise refused(answer.refusal, limits)
    if answer.outcome in _REFUSALS:
        kind, said = _REFUSALS[answer.outcome]
        raise kind(said)
    if answer.record is not None:
        ids = {"job": answer.job_id, "run": answer.record.run_id}
        if place is None:
            note(**ids, outcome=answer.outcome)  # the request's own line says so
        else:
            with log_context(**ids):
                log.info("an item of a batch: %s", answer.outcome)
    return answer


_REFUSALS: dict[str, tuple[type[OcrFarmError], str | None]] = {
    "revoked": (Unauthorized, "This API key was revoked, or has expired, while the document came in."),
    "conflict": (IdempotencyConflict, None),
    "no_batch": (NotFound, NO_BATCH),
    "closed": (BatchClosed, None),
    "batch_full": (BatchFull, None),
}
