"""The calls of the HTTP interface as values: what to send, and how to read the answer. No input or output happens here.

The blocking and the asyncio client both run these, so that neither knows a path or a field of its own.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import time
from typing import Any, BinaryIO, Generic, TypedDict, TypeVar, cast
from urllib.parse import quote
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from ocrfarm_shared.contracts import (
    CacheMode,
    DeadLetter,
    Document,
    FarmView,
    JobList,
    JobState,
    JobView,
    Layout,
    PageList,
    Priority,
    Problem,
    ProfileView,
    ReadingOptions,
)
from ocrfarm_shared.errors import BY_CODE, BadOption, EmptyFile, FarmError, OcrFarmError, RequestError, no_file

T = TypeVar("T")
Source = str | Path | bytes | BinaryIO
"""A document to send: a path, its bytes, or an open binary file."""


@dataclass(frozen=True)
class Reply:
    """An answer of the gateway, read to its end. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds of the Retry-After header, given as a number or a date (RFC 9110, 10.2.3)."""
        raw = self.headers.get("retry-after")
        if raw is None:
            return None
        try:
            return max(0.0, float(raw))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(raw).timestamp() - time())
        except ValueError:
            return None

    @property
    def is_json(self) -> bool:
        return "json" in self.headers.get("content-type", "")


class FromHere:
    """An open file from where it stood on: httpx rewinds to 0 what it sends, and that is not where the document begins."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset + self._start if whence == io.SEEK_SET else offset, whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


@dataclass(frozen=True)
class Upload:
    """A document that can be sent again: each `opened()` starts at its beginning."""

    name: str
    source: Path | bytes | BinaryIO
    start: int = 0

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        if isinstance(self.source, bytes):
            yield io.BytesIO(self.source)
        elif isinstance(self.source, Path):
            with self.source.open("rb") as file:
                yield file
        else:
            yield cast(BinaryIO, FromHere(self.source, self.start))


@dataclass(frozen=True)
class Named:
    """A document of a batch. `key`: what its sender calls it, so that sending it again adds nothing."""

    key: str
    upload: Upload


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request. `repeatable`: sending it twice does what sending it once does."""

    method: str
    path: str
    parse: Callable[[Reply], T]
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] | None = None
    upload: Upload | None = None
    uploads: Sequence[Named] = ()
    json: Mapping[str, Any] | None = None
    repeatable: bool = True
    held_s: float = 0
    """How long the gateway may hold the request before it answers, seconds."""

    @contextmanager
    def bodies(self) -> Iterator[list[BinaryIO]]:
        """The open files of `upload` or `uploads`, each at its beginning."""
        with ExitStack() as stack:
            sent = [self.upload] if self.upload else [named.upload for named in self.uploads]
            yield [stack.enter_context(upload.opened()) for upload in sent]


def problem(reply: Reply) -> OcrFarmError:
    """The error that an answer of 400 and over stands for: the class of its code, with its own sentence."""
    try:
        told = Problem.model_validate_json(reply.body)
    except ValidationError:
        kind = RequestError if reply.status < 500 else FarmError
        return _named(kind, kind.code, reply.status)(
            f"The farm's address answered {reply.status} without saying why; is it ocrfarm that listens there?",
            retry_after=reply.retry_after,
        )
    known = BY_CODE.get(told.code)
    if known is None:  # a newer farm's code is kept, not lost
        known = _named(RequestError if reply.status < 500 else FarmError, told.code, reply.status)
    return known(told.detail, retry_after=reply.retry_after)


def _named(kind: type[OcrFarmError], code: str, status: int) -> type[OcrFarmError]:
    return type(kind.__name__, (kind,), {"code": code, "status": status})


def as_upload(source: Source, filename: str | None = None) -> Upload:
    """Raises EmptyFile for no bytes, BadOption for a path that is no file; a file that cannot seek is read into memory."""
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise BadOption(no_file(path))
        if not path.stat().st_size:
            raise EmptyFile
        return Upload(filename or path.name, path)
    if not isinstance(source, bytes):
        if isinstance(source, io.TextIOBase):
            raise BadOption("The file is open as text; open it with mode 'rb'.")
        name = filename or Path(str(getattr(source, "name", "document"))).name
        if source.seekable():
            return Upload(name, source, source.tell())
        return as_upload(source.read(), name)
    if not source:
        raise EmptyFile
    return Upload(filename or "document", source)


def _view(reply: Reply) -> JobView:
    return JobView.model_validate_json(reply.body)


class Choices(TypedDict, total=False):
    """What may be said of a submission; what is left out is the farm's default. See the gateway's /docs for each."""

    profile: str
    layout: Layout | str
    languages: Sequence[str]
    pages: str
    """Counted from 1: `3`, `1-4,9`, `5-`."""
    options: ReadingOptions | Mapping[str, Any]
    cache: CacheMode | str
    priority: Priority | str
    tag: str
    webhook: str
    deadline_s: float
    idempotency_key: str
    """Left out, one is made, so that a submission sent again after a broken connection makes no second job."""


def as_fields(choices: Mapping[str, Any]) -> dict[str, str]:
    """Choices as form fields."""
    told = dict(choices)
    if "options" in told:
        options = told["options"]
        given = options.model_dump(exclude_unset=True) if isinstance(options, ReadingOptions) else dict(options)
        told["options"] = json.dumps(given)
    if "languages" in told:
        told["languages"] = ",".join(told["languages"])
    return {name: str(value) for name, value in told.items()}


def submit(upload: Upload, choices: Choices, wait_s: float = 0) -> Call[JobView]:
    """POST /v1/jobs."""
    told: dict[str, Any] = {name: value for name, value in choices.items() if value is not None}
    key = told.pop("idempotency_key", None) or uuid4().hex
    return Call(
        "POST",
        "/v1/jobs",
        _view,
        params={"wait": f"{wait_s:g}"} if wait_s else {},
        headers={"Idempotency-Key": key},
        fields=as_fields(told),
        upload=upload,
        held_s=wait_s,
    )


def _job(job: str, tail: str = "") -> str:
    return f"/v1/jobs/{quote(job, safe='')}{tail}"


def get(job: str, wait_s: float = 0) -> Call[JobView]:
    return Call("GET", _job(job), _view, params={"wait": f"{wait_s:g}"} if wait_s else {}, held_s=wait_s)


def result(job: str, form: str) -> Call[bytes | float]:
    """A number: not ready yet; so many seconds until it is worth another try, as the farm says."""
    return Call(
        "GET",
        _job(job, "/result"),
        lambda reply: (reply.retry_after or 0.0) if reply.status == 202 else reply.body,
        params={"format": form},
    )


def document(body: bytes) -> Document:
    return Document.model_validate_json(body)


def pages(job: str, after: int) -> Call[PageList]:
    return Call(
        "GET",
        _job(job, "/pages"),
        lambda reply: PageList.model_validate_json(reply.body),
        params={"after": str(after)},
    )


def cancel(job: str) -> Call[None]:
    return Call("POST", _job(job, "/cancel"), lambda _: None)


def retry(job: str) -> Call[JobView]:
    return Call("POST", _job(job, "/retry"), _view, headers={"Idempotency-Key": uuid4().hex})


def delete(job: str) -> Call[None]:
    return Call("DELETE", _job(job), lambda _: None)


_LETTERS = TypeAdapter(list[DeadLetter])
_NEXT = re.compile(r'[?&]cursor=([^&>]+)[^>]*>; rel="next"')


def dead_letters(cursor: str | None = None) -> Call[tuple[list[DeadLetter], str | None]]:
    """Some of them, and the cursor of the next ones."""

    def parse(reply: Reply) -> tuple[list[DeadLetter], str | None]:
        more = _NEXT.search(reply.headers.get("link", ""))
        return _LETTERS.validate_json(reply.body), more[1] if more else None

    return Call("GET", "/v1/dead-letters", parse, params={"cursor": cursor} if cursor else {})


def dead_letter(job: str) -> Call[DeadLetter]:
    path = f"/v1/dead-letters/{quote(job, safe='')}"
    return Call("GET", path, lambda reply: DeadLetter.model_validate_json(reply.body))


def replay(job: str) -> Call[JobView]:
    path = f"/v1/dead-letters/{quote(job, safe='')}/replay"
    return Call("POST", path, _view, headers={"Idempotency-Key": uuid4().hex})


def jobs(state: JobState | str | None, tag: str | None, cursor: str | None) -> Call[JobList]:
    asked = {"state": state and str(state), "tag": tag, "cursor": cursor}
    return Call(
        "GET",
        "/v1/jobs",
        lambda reply: JobList.model_validate_json(reply.body),
        params={name: value for name, value in asked.items() if value},
    )


def farm() -> Call[FarmView]:
    return Call("GET", "/v1/farm", lambda reply: FarmView.model_validate_json(reply.body))


_PROFILES = TypeAdapter(list[ProfileView])


def profiles() -> Call[list[ProfileView]]:
    return Call("GET", "/v1/profiles", lambda reply: _PROFILES.validate_json(reply.body))
