"""A batch's results as one stream, a document at a time: neither side holds more than one."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from ocrfarm_api.callers import Caller, Reader, recheck
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.following_batches import find_batch
from ocrfarm_api.large_answers import LargeStream
from ocrfarm_api.routes.answers import problems
from ocrfarm_api.routes.batch_answers import BatchId
from ocrfarm_api.routes.results import MEDIA_TYPES, raw_pages, unpack, write_result
from ocrfarm_shared.contracts import JobState
from ocrfarm_shared.errors import BadOption, Expired
from ocrfarm_shared.ledger import batch_calls
from ocrfarm_shared.ledger.batch_calls import ListedItem, Order

router = APIRouter(tags=["batches"])

AT_ONCE = 50  # items asked for at a time
RECHECK_S = 2.0
_KINDS = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8", "zip": "application/zip"}
CSV_HEAD = ("number", "filename", "state", "pages", "confidence", "text", "error_code", "error", "job")
LONGEST_NAME = 150


@router.get(
    "/v1/batches/{batch_id}/results",
    response_class=StreamingResponse,
    responses=problems(404, 422, 429, 503)
    | {
        200: {
            "description": "As an attachment, streamed.",
            "content": {kind.split(";")[0]: {"schema": {"type": "string"}} for kind in _KINDS.values()},
        }
    },
)
async def get_results(
    farm: TheFarm,
    caller: Reader,
    batch_id: BatchId,
    format: Annotated[
        Literal["jsonl", "csv", "zip"],
        Query(
            description="A JSON object a line with the whole document; a table with the text; a file for each document."
        ),
    ] = "jsonl",
    document: Annotated[str, Query(description=f"What is in the zip: {', '.join(MEDIA_TYPES)}.")] = "txt",
    after: Annotated[int, Query(ge=0, le=10_000_000, description="Items with a higher number than this.")] = 0,
) -> Response:
    """Everything that has ended, by item number; items that did not succeed with their reason. What still runs is left out: ask again."""
    if document not in MEDIA_TYPES:
        raise BadOption(f"`document`: there is no {document[:40]!r}; there are: {', '.join(MEDIA_TYPES)}.")
    batch = await find_batch(farm, caller.tenant, batch_id)
    streams: dict[str, Callable[[], AsyncIterator[bytes]]] = {
        "jsonl": lambda: _jsonl(farm, _items(farm, caller, batch.id, after)),
        "csv": lambda: _csv(farm, _items(farm, caller, batch.id, after)),
        "zip": lambda: _zip(farm, caller, batch.id, after, document),
    }
    headers = {"Content-Disposition": f'attachment; filename="{batch.id}.{format}"'}
    return LargeStream(farm, caller, streams[format](), headers, _KINDS[format])


async def _items(
    farm: Farm, caller: Caller, batch_id: str, after: int, order: Order = "number"
) -> AsyncIterator[ListedItem]:
    """Items that have ended, in order. A key that is revoked, or a batch that is deleted meanwhile, breaks the stream off."""
    loop = asyncio.get_running_loop()
    checked = loop.time()
    while True:
        listed = await farm.ledger(batch_calls.items(caller.tenant, batch_id, order=order, after=after, limit=AT_ONCE))
        if listed is None:
            raise Expired("The batch was deleted while its results were sent.")
        for one in listed.items:
            if one.item.state is None or one.item.state.ended:
                yield one
            if loop.time() > checked + RECHECK_S:
                await recheck(farm, caller)
                checked = loop.time()
        if len(listed.items) < AT_ONCE:
            return
        after = listed.items[-1].item.number


async def _written(farm: Farm, one: ListedItem, form: str) -> bytes | None:
    """The document in that format; None where there is none: it failed, or its result has expired."""
    record = one.record
    if record is None or record.gone or record.view.state not in (JobState.SUCCEEDED, JobState.PARTIAL):
        return None
    raw = await raw_pages(farm, record)
    if not raw:
        return None
    return await _thread(farm, lambda: write_result(form, unpack(raw), record))


async def _thread(farm: Farm, work: Callable[[], bytes]) -> bytes:
    return await asyncio.get_running_loop().run_in_executor(farm.threads, work)


async def _jsonl(farm: Farm, items: AsyncIterator[ListedItem]) -> AsyncIterator[bytes]:
    async for one in items:
        document = await _written(farm, one, "json")
        head = one.item.model_dump_json().encode()
        yield b"".join((head[:-1], b',"document":', document or b"null", b"}\n"))


async def _csv(farm: Farm, items: AsyncIterator[ListedItem]) -> AsyncIterator[bytes]:
    yield _row(CSV_HEAD)
    async for one in items:
        item = one.item
        document = await _written(farm, one, "json")
        pages, confidence, text = await asyncio.to_thread(_figures, document) if document else ("", "", "")
        why = (item.error.code, item.error.message) if item.error else ("", "")
        state = str(item.state) if item.state else ""
        yield _row(
            (item.number, _plain(item.filename or ""), state, pages, confidence, _plain(text), *why, item.job or "")
        )


def _figures(document: bytes) -> tuple[str, str, str]:
    """Pages, mean confidence over the lines, text."""
    read = json.loads(document)
    sure = [line["confidence"] for page in read["pages"] for line in page["lines"]]
    return str(read["page_count"]), f"{sum(sure) / len(sure):.4f}" if sure else "", read["text"]


def _plain(text: str) -> str:
    """A spreadsheet takes a cell that begins so for a formula; what was read of a stranger's page must not be one."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _row(cells: tuple[object, ...]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue().encode("utf8", "replace")


class _Passing(io.RawIOBase):
    """What is written, until it is taken: a file that cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


async def _zip(farm: Farm, caller: Caller, batch_id: str, after: int, form: str) -> AsyncIterator[bytes]:
    """A file for each document, and errors.csv. The names are the senders', made harmless and unique by the item's number."""
    passing = _Passing()
    archive = zipfile.ZipFile(passing, "w", zipfile.ZIP_DEFLATED)
    async for one in _items(farm, caller, batch_id, after):
        document = await _written(farm, one, form)
        if document is not None:
            await _pack(farm, archive, entry_name(one.item.number, one.item.filename or "", form), document)
            yield passing.take()
    with archive.open("errors.csv", "w") as errors:
        errors.write(_row(("number", "filename", "state", "error_code", "error")))
        async for one in _items(farm, caller, batch_id, after, order="troubled"):
            item = one.item
            why = (item.error.code, item.error.message) if item.error else ("", "")
            errors.write(_row((item.number, _plain(item.filename or ""), str(item.state or ""), *why)))
            yield passing.take()
    archive.close()
    yield passing.take()


async def _pack(farm: Farm, archive: zipfile.ZipFile, name: str, body: bytes) -> None:
    def work() -> bytes:
        archive.writestr(name, body)
        return b""

    await _thread(farm, work)


def entry_name(number: int, filename: str, form: str) -> str:
    """`000012-letter.png.txt`: the last part of the sender's name, without what a file system or a shell could stumble over."""
    last = re.split(r"[/\\]", filename)[-1]
    plain = re.sub(r"[^\w .()-]", "_", last).strip(" .")[:LONGEST_NAME]
    return f"{number:06d}-{plain or 'document'}.{form}"
