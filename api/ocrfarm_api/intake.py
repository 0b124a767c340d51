"""From a request's body to a hashed temporary file: three forms of upload, limits kept while it streams, the type by magic bytes.

Nothing here knows Starlette, and nothing opens a picture: the bytes are counted, hashed, written, and looked at in their first 1024.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_multipart.multipart import parse_options_header

from ocrfarm_api.form_body import MAX_FIELD_BYTES, MAX_FIELDS, FormBody
from ocrfarm_api.json_body import MAX_OTHER_BYTES, MEMBERS, JsonBody
from ocrfarm_api.kinds import Kind, kind_of
from ocrfarm_api.spool import Spool
from ocrfarm_shared.errors import BadOption, EmptyFile, FarmFull, MissingFile, RequestError, TooLarge

FULL_DISK_RETRY_S = 30.0
SILENCE_S = 30.0
SLOWEST_BYTES_S = 500.0  # over the whole of an upload, after the first SILENCE_S


@dataclass(frozen=True)
class Received:
    """An upload in a temporary file. `content`: its sha256; `fields`: the options that came with it, not yet looked at."""

    temporary: Path
    content: str
    size: int
    kind: Kind
    filename: str | None
    fields: Mapping[str, Any]


@asynccontextmanager
async def receive(
    body: AsyncIterator[bytes],
    *,
    content_type: str | None,
    content_length: int | None,
    folder: Path,
    threads: Executor,
    limit: int,
    least_free: int = 0,
    field: str = "file",
    members: Collection[str] = MEMBERS,
) -> AsyncIterator[Received]:
    """Read one upload; its temporary file is removed at the end, unless it was moved to its place.

    `field` of a form, one of `members` of a JSON object: what the document is called there.

    `limit` is of the document, in bytes; so many as `least_free` stay free on the disk.

    Raises TooLarge (by the declared length, and by the bytes that come), EmptyFile, MissingFile,
    UnsupportedType, BadOption, RequestError for a sender who falls silent, and FarmFull where the disk is full.
    """
    form, parameters = parse_options_header(content_type)
    spool = Spool(folder, threads, limit, least_free)
    reader: FormBody | JsonBody | None = None
    if form == b"multipart/form-data":
        if not parameters.get(b"boundary"):
            raise BadOption("The Content-Type names no boundary; let your HTTP library set it.")
        reader = FormBody(parameters[b"boundary"], spool, field)
        allowed = limit + 2 * MAX_FIELDS * MAX_FIELD_BYTES
    elif form == b"application/json":
        reader = JsonBody(spool, members)
        allowed = limit * 3 // 2 + 2 * MAX_OTHER_BYTES  # four letters for three bytes, and line breaks
    else:
        allowed = limit
    too_large = TooLarge(
        f"The upload is larger than the {limit / 1e6:g} MB that this farm takes; split it or scale it down."
    )
    if content_length is not None and content_length > allowed:
        raise too_large

    try:
        came = 0
        feed = reader.feed if reader else spool.feed
        async for piece in steady(body):
            came += len(piece)
            if came > allowed:
                raise too_large
            feed(piece)
            await spool.flush()
        fields: Mapping[str, Any] = {}
        filename = None
        if isinstance(reader, FormBody):
            reader.finish()
            fields, filename = {name: _one(name, values) for name, values in reader.fields.items()}, reader.filename
        elif isinstance(reader, JsonBody):
            fields = reader.finish()
        elif came == 0 and not content_type:
            raise MissingFile
        if spool.size == 0:
            raise EmptyFile
        kind = kind_of(spool.head)
        content = await spool.close()
        yield Received(spool.path, content, spool.size, kind, filename, fields)
    except OSError as err:
        raise (disk_full(err) or err) from err
    finally:
        await spool.discard()


def disk_full(err: OSError) -> FarmFull | None:
    """The refusal that a full disk is answered with; None for any other error."""
    if err.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # EFBIG: a limit of the process, as systemd sets it
        return None
    return FarmFull("The farm's disk is full; try again after Retry-After seconds.", retry_after=FULL_DISK_RETRY_S)


async def steady(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces; a sender who falls silent, or sends a byte now and then, must not hold a connection and a file for ever. Our own writing
    is not his time. Raises RequestError."""
    pieces = aiter(body)
    clock = asyncio.get_running_loop().time
    came, waited = 0, 0.0
    while True:
        left = min(SILENCE_S, SILENCE_S + came / SLOWEST_BYTES_S - waited)
        before = clock()
        try:
            async with asyncio.timeout(left):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            said = f"nothing came for {SILENCE_S:g} s" if left >= SILENCE_S else "it came too slowly to be an upload"
            raise RequestError(f"The upload stalled: {said}; send it again.") from None
        waited += clock() - before
        came += len(piece)
        yield piece


def _one(name: str, values: list[str]) -> str:
    if len(values) > 1 and name != "languages":
        raise BadOption(f"The field `{name[:100]}` was sent {len(values)} times; send it once.")
    return ",".join(values)
