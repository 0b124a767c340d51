"""What was read: the whole result in its formats, and finished pages while the rest still runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from ocrfarm_api import artefacts
from ocrfarm_api.callers import Caller, Reader
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.large_answers import LARGE_PAGES, LargeAnswer
from ocrfarm_api.problems import problem
from ocrfarm_api.routes.answers import POLL_S, JobId, as_json, attachment, job_view, problems, why_not
from ocrfarm_api.routes.images import as_file
from ocrfarm_api.waiting import find
from ocrfarm_shared.artefacts import Artefact
from ocrfarm_shared.contracts import Document, JobState, Page, PageList
from ocrfarm_shared.errors import BadOption, Expired, NotSucceeded
from ocrfarm_shared.formats import TEXT_FORMATS
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.calls import Call
from ocrfarm_shared.ledger.records import JobRecord

router = APIRouter(tags=["results"])


# A document of a thousand pages is 50 MB of JSON, and 600 MB as objects: so one page at a time is unpacked, written and let go, and no
# call is so long that it keeps the event loop from the interpreter.


def _json(pages: Iterable[Page], page_count: int | None) -> bytes:
    written, bare, texts = [], [], []
    for page in pages:
        written.append(page.model_dump_json().encode())
        texts.append(page.text)
        bare.append(page.model_copy(update={"lines": []}))
    document = Document.of(bare, page_count).model_copy(update={"text": "\f".join(texts)})
    return _with_pages(document, written)


def _with_pages(head: BaseModel, pages: list[bytes]) -> bytes:
    """The JSON of `head` with these in place of its `pages`."""
    return b"".join([head.model_dump_json(exclude={"pages"})[:-1].encode(), b',"pages":[', b",".join(pages), b"]}"])


MEDIA_TYPES = {"json": "application/json"} | {name: form.media_type for name, form in TEXT_FORMATS.items()}
_MADE = {"pdf": Artefact("pdf")}  # by a worker, on first asking
_FORMATS = ", ".join([*MEDIA_TYPES, *_MADE])


def write_result(form: str, pages: Iterable[Page], record: JobRecord) -> bytes:
    if form == "json":
        return _json(pages, record.page_count)
    name = record.view.filename or record.id
    return b"".join(piece.encode("utf8", "replace") for piece in TEXT_FORMATS[form].write(pages, name))


@router.get(
    "/v1/jobs/{job_id}/result",
    response_model=Document,
    responses=problems(404, 409, 410, 422, 429, 503)
    | {
        200: {
            "description": "As an attachment.",
            "content": {kind.split(";")[0]: {"schema": {"type": "string"}} for kind in list(MEDIA_TYPES.values())[1:]}
            | {made.media_type: {"schema": {"type": "string", "format": "binary"}} for made in _MADE.values()},
        },
        202: {"description": "Not ready, or (`pdf`) being made; ask again after Retry-After seconds."},
        304: {"description": "The file of that ETag is the present one."},
    },
)
async def get_result(
    request: Request,
    farm: TheFarm,
    caller: Reader,
    job_id: JobId,
    format: Annotated[str, Query(description=f"One of: {_FORMATS}.")] = "json",
) -> Response:
    """The document's text, lines and words with confidences and polygons. 409, with the reason, for a job that failed.

    `pdf` is the document with its text in it, to be searched and copied from: the pages of a PDF as they came, a picture as a page. A
    worker makes it when it is first asked for: 202 until then.
    """
    if format not in MEDIA_TYPES and format not in _MADE:
        raise BadOption(f"`format`: there is no {format[:40]!r}; there are: {_FORMATS}.")
    record = await find(farm, caller.tenant, job_id)
    if not record.view.state.ended:
        return as_json(job_view(record), 202, {"Retry-After": POLL_S})
    if record.view.state in (JobState.FAILED, JobState.CANCELLED):
        return problem(NotSucceeded(why_not(record)), f"/v1/jobs/{job_id}/result", because=record.view.error)
    headers = {"Content-Disposition": attachment(record, format)}
    if format in _MADE:
        made = await artefacts.made(farm, caller, job_id, _MADE[format])
        if made is None:
            return as_json(job_view(record), 202, {"Retry-After": POLL_S})
        return as_file(request, made, _MADE[format].media_type, headers)

    async def body() -> bytes:
        raw = await raw_pages(farm, record)
        if not raw:
            raise Expired
        return await _in_thread(farm, lambda: write_result(format, unpack(raw), record))

    return await _answer(farm, caller, body, record.view.progress.pages_done, headers, MEDIA_TYPES[format])


@router.get("/v1/jobs/{job_id}/pages", response_model=PageList, responses=problems(404, 410, 422, 429, 503))
async def get_pages(
    farm: TheFarm,
    caller: Reader,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, le=1_000_000, description="Pages with a higher number than this.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 100_000,
) -> Response:
    """Finished pages while the rest still runs, in page order. Once `state` is an end, all of them are there."""
    record = await find(
        farm, caller.tenant, job_id
    )  # before the pages: a state that has ended promises that none is missing
    view = record.view
    head = PageList(state=view.state, progress=view.progress, pages=[])

    async def body() -> bytes:
        raw = await raw_pages(farm, record, after, limit)
        return await _in_thread(
            farm, lambda: _with_pages(head, [page.model_dump_json().encode() for page in unpack(raw)])
        )

    headers = {} if view.state.ended else {"Retry-After": POLL_S}
    done = view.progress.pages_done
    most = min(limit, done, max(0, (view.progress.pages_total or done) - after))
    return await _answer(farm, caller, body, most, headers, "application/json")


async def _answer(
    farm: Farm, caller: Caller, body: Callable[[], Awaitable[bytes]], pages: int, headers: dict[str, str], kind: str
) -> Response:
    """`pages`: how many it may hold. Raises what `body` does."""
    if pages >= LARGE_PAGES:
        return LargeAnswer(farm, caller, body, headers, kind)
    return Response(await body(), 200, headers, media_type=kind)


async def raw_pages(farm: Farm, record: JobRecord, after: int = 0, limit: int = 100_000) -> Sequence[bytes]:
    """The packed pages; a document of a thousand pages is unpacked in a thread, not on the event loop. Raises Expired."""
    if record.gone:
        raise Expired

    def payloads(answer: Any) -> Sequence[bytes]:
        found: Sequence[bytes] = answer[1::2]
        return found

    asked = calls.pages(record.run_id, after=after, limit=limit)
    return await farm.ledger(Call(asked.script, payloads, asked.arguments))


def unpack(raw: Sequence[bytes]) -> Iterator[Page]:
    return map(calls.unpack_page, raw)


async def _in_thread(farm: Farm, work: Callable[[], bytes]) -> bytes:
    return await asyncio.get_running_loop().run_in_executor(farm.threads, work)
