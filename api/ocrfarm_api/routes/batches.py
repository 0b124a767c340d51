"""Batches: open, add files, close, look, list, cancel, delete."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as PathParameter
from python_multipart.multipart import parse_options_header
from starlette.responses import Response

from ocrfarm_api import options
from ocrfarm_api.admission import admit
from ocrfarm_api.batch_intake import Taking, drain, new_spool, take_form, take_raw
from ocrfarm_api.callers import Caller, Reader, Submitter
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.following_batches import BatchTeller, find_batch, until_batch_ended, until_more_ended
from ocrfarm_api.intake import disk_full, steady
from ocrfarm_api.many_files import ManyFiles, Part
from ocrfarm_api.problems import problem
from ocrfarm_api.routes.answers import POLL_S, IdempotencyKey, Wait, as_json, problems
from ocrfarm_api.routes.events import LastEventId
from ocrfarm_api.routes.submission_form import BATCH_BODY, FILES_BODY, with_query
from ocrfarm_api.streams import LAST_ID, EventStream
from ocrfarm_api.waiting import MAX_WAIT_S
from ocrfarm_shared.batches import BatchItems, BatchList, BatchReceipt, BatchView
from ocrfarm_shared.errors import (
    AlreadyEnded,
    BadOption,
    IdempotencyConflict,
    MissingFile,
    NotFound,
    OcrFarmError,
    OverQuota,
    TooLarge,
)
from ocrfarm_shared.ledger import batch_calls
from ocrfarm_shared.ledger.batch_calls import BatchRecord, Order

router = APIRouter(tags=["batches"])

FIRST_ERRORS = 20
MOST_CURSOR = 10_000_000
MOST_JSON = 64 * 1024
UNREAD_BYTES, UNREAD_S = 8_000_000, 3.0
_BATCH_ID = re.compile(r"^batch_[0-9a-f]{32}$")
_TIME = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_TRUE = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
    "": False,
}
Opener = Callable[[Mapping[str, Any]], Awaitable[BatchRecord]]


async def _batch_id(batch_id: Annotated[str, PathParameter(description="As its creation answered it.")]) -> str:
    if not _BATCH_ID.match(batch_id):
        raise NotFound(f"There is no batch {batch_id[:64]!r} here.")
    return batch_id


BatchId = Annotated[str, Depends(_batch_id)]


def links(batch_id: str) -> dict[str, str]:
    here = f"/v1/batches/{batch_id}"
    return {
        "self": here,
        "files": f"{here}/files",
        "close": f"{here}/close",
        "jobs": f"{here}/jobs",
        "errors": f"{here}/jobs?order=troubled",
        "results": f"{here}/results",
        "events": f"{here}/events",
        "cancel": f"{here}/cancel",
    }


async def _view(farm: Farm, caller: Caller, batch: BatchRecord) -> BatchView:
    view = batch.view.model_copy(update={"links": links(batch.id)})
    counts = view.counts
    if not (counts.failed or counts.partial or counts.cancelled or counts.refused):
        return view
    call = batch_calls.items(caller.tenant, batch.id, order="troubled", limit=FIRST_ERRORS)
    listed = await farm.ledger(call)
    return view.model_copy(update={"errors": [one.item for one in listed.items] if listed else []})


async def _receipt(farm: Farm, caller: Caller, taking: Taking) -> Response:
    view = await _view(farm, caller, await find_batch(farm, caller.tenant, taking.batch.id))
    items = sorted(taking.items, key=lambda item: item.number)
    body = BatchReceipt(**dict(view), added=taking.taken, items=items)
    here = links(view.id)["self"]
    return as_json(body, 202, {"Location": here, "Operation-Location": here, "Retry-After": POLL_S})


# ---------------------------------------------------------------------------------------------------- files come in


@router.post(
    "/v1/batches",
    status_code=202,
    response_model=BatchReceipt,
    response_description="Open, with the files that came; ask where `links` say.",
    responses=problems(400, 409, 413, 422, 429, 503),
    openapi_extra={"requestBody": BATCH_BODY},
)
async def open_batch(
    request: Request, farm: TheFarm, caller: Submitter, idempotency_key: IdempotencyKey = None
) -> Response:
    """Open a batch: with many `file` parts (documents or zips of documents), with a zip as the body, or empty, to add files later.

    Options are those of a job and hold for each of its jobs; in a form they come before the first file. It takes files until it is closed:
    by `close=true` here, by POST …/close, or by the farm some time after the last file. A file that cannot be read is an item with an
    error. Where the request ends early (429, 503), what was taken is taken: send it again with the same Idempotency-Key, and nothing is
    taken twice.
    """
    closing = False

    async def make(fields: Mapping[str, Any]) -> BatchRecord:
        nonlocal closing
        asked = with_query(request, fields)
        closing = _flag(asked.pop("close", False))
        asked.pop("filename", None)
        asked.setdefault("priority", "bulk")
        submission = options.submission(asked, farm.settings)
        named = hashlib.sha256(submission.model_dump_json().encode()).hexdigest()
        call = batch_calls.create(
            tenant=caller.tenant,
            submission=submission,
            settings=farm.settings,
            idempotency_key=idempotency_key or None,
            idempotency_print=named,
        )
        made = await farm.ledger(call)
        if made.outcome == "conflict":
            raise IdempotencyConflict("This Idempotency-Key was used for a batch with other options; use a new key.")
        if made.outcome == "quota":
            raise OverQuota(
                f"{batch_calls.MOST_BATCHES} batches of yours are kept, and no more may be; delete some.",
                retry_after=60,
            )
        return await find_batch(farm, caller.tenant, made.id)

    async def closed(taking: Taking) -> None:
        if closing:
            await farm.ledger(batch_calls.close(caller.tenant, taking.batch.id))

    return await _receive(request, farm, caller, idempotency_key or None, make, closed, may_be_empty=True)


@router.post(
    "/v1/batches/{batch_id}/files",
    status_code=202,
    response_model=BatchReceipt,
    responses=problems(400, 404, 409, 413, 422, 429, 503),
    openapi_extra={"requestBody": FILES_BODY},
)
async def add_files(
    request: Request, farm: TheFarm, caller: Submitter, batch_id: BatchId, idempotency_key: IdempotencyKey = None
) -> Response:
    """Add files to an open batch: many `file` parts, or a zip or a document as the body (its name as `?filename=`)."""
    batch = await find_batch(farm, caller.tenant, batch_id)

    async def known(fields: Mapping[str, Any]) -> BatchRecord:
        others = [name for name in (*fields, *request.query_params) if name != "filename"]
        if others:
            raise BadOption(f"`{others[0][:100]}`: a batch's options are given when it is opened.")
        return batch

    async def nothing(_: Taking) -> None: ...

    return await _receive(request, farm, caller, idempotency_key or None, known, nothing, may_be_empty=False)


async def _receive(
    request: Request,
    farm: Farm,
    caller: Caller,
    prefix: str | None,
    open_it: Opener,
    then: Callable[[Taking], Awaitable[None]],
    *,
    may_be_empty: bool,
) -> Response:
    """Read the body, whatever form it has, into a batch. An error after it was opened names the batch as its `instance`."""
    allowed = int(farm.settings.max_batch_upload_mb * 1_000_000)
    declared = request.headers.get("content-length", "")
    length = int(declared) if declared.isascii() and declared.isdigit() else None
    too_large = TooLarge(
        f"A request may bring {allowed / 1e6:g} MB of files; send several, to {request.url.path} or its /files."
    )
    await admit(farm, caller, length, perhaps_repeated=bool(prefix))
    if length is not None and length > allowed:
        raise too_large
    taking: Taking | None = None

    async def begin(fields: Mapping[str, Any]) -> Taking:
        nonlocal taking
        taking = Taking(farm, caller, await open_it(fields), prefix)
        return taking

    body = _within(request, allowed, too_large)
    try:
        await _read(request, farm, body, begin, may_be_empty=may_be_empty)
        assert taking is not None
        await then(taking)
        return await _receipt(farm, caller, taking)
    except OSError as err:
        if (full := disk_full(err)) is None:
            raise
        return await _broke_off(full, body, taking)
    except OcrFarmError as err:
        if taking is None:
            raise
        return await _broke_off(err, body, taking)


async def _broke_off(error: OcrFarmError, body: Any, taking: Taking | None) -> Response:
    await drain(body, UNREAD_BYTES, UNREAD_S)
    where = links(taking.batch.id)["self"] if taking is not None else None
    return problem(error, where)


async def _within(request: Request, allowed: int, too_large: TooLarge) -> Any:
    came = 0
    async for piece in steady(request.stream()):
        came += len(piece)
        if came > allowed:
            raise too_large
        yield piece


async def _read(
    request: Request,
    farm: Farm,
    body: Any,
    begin: Callable[[Mapping[str, Any]], Awaitable[Taking]],
    *,
    may_be_empty: bool,
) -> None:
    content_type = request.headers.get("content-type")
    kind, parameters = parse_options_header(content_type)
    limit = farm.settings.max_upload_bytes
    if kind == b"multipart/form-data":
        if not parameters.get(b"boundary"):
            raise BadOption("The Content-Type names no boundary; let your HTTP library set it.")
        form = ManyFiles(parameters[b"boundary"], lambda: new_spool(farm), limit, farm.settings.max_batch_items)
        await take_form(body, form, lambda: begin({name: ",".join(said) for name, said in form.fields.items()}))
        if not form.begun and not may_be_empty:
            raise MissingFile("The form holds no `file`; send each document as a part of that name.")
    elif kind == b"application/json" and may_be_empty:
        await begin(await _json(body))
    elif kind == b"application/x-www-form-urlencoded":
        raise BadOption("Send files as multipart/form-data (curl -F), and options there, as JSON, or in the address.")
    else:
        first = await anext(aiter(body), b"")
        if not first:
            if not may_be_empty:
                raise MissingFile
            await begin({})
            return
        taking = await begin({})
        part = Part(0, request.query_params.get("filename"), None, new_spool(farm))
        part.feed(first, limit)
        await take_raw(body, part, limit, taking)


async def _json(body: Any) -> Mapping[str, Any]:
    text = b""
    async for piece in body:
        text += piece
        if len(text) > MOST_JSON:
            raise TooLarge(f"Options are {MOST_JSON} bytes at most; send files as multipart/form-data or as a zip.")
    try:
        found = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        raise BadOption("The body is not valid JSON.") from None
    if not isinstance(found, dict):
        raise BadOption('The JSON body is an object of options, like {"profile": "fast"}.')
    return found


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = _TRUE.get(str(value).lower())
    if known is None:
        raise BadOption("`close` is true or false.")
    return known


# ---------------------------------------------------------------------------------------------------- looking


@router.get("/v1/batches", response_model=BatchList, responses=problems(422, 503))
async def list_batches(
    farm: TheFarm,
    caller: Reader,
    cursor: Annotated[str | None, Query(description="As the former answer gave it.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Batches, newest first, without their errors. An answer may be short or empty and still carry a `cursor`: go on from it."""
    if cursor is not None and not _TIME.fullmatch(cursor):
        raise BadOption("`cursor` must be what the former answer gave.")
    listing = await farm.ledger(batch_calls.list_batches(caller.tenant, cursor=cursor, limit=limit))
    found = await farm.ledger(batch_calls.view(caller.tenant, listing.ids)) if listing.ids else []
    views = [batch.view.model_copy(update={"links": links(batch.id)}) for batch in found]
    return as_json(BatchList(batches=views, cursor=listing.cursor))


@router.get("/v1/batches/{batch_id}", response_model=BatchView, responses=problems(404, 422, 503))
async def get_batch(farm: TheFarm, caller: Reader, batch_id: BatchId, wait: Wait = 0) -> Response:
    """One batch: counts by state, and its first errors. With `wait`, answers as soon as it has ended."""
    batch = await until_batch_ended(farm, caller, batch_id, wait)
    return as_json(
        await _view(farm, caller, batch), headers=None if batch.view.state.ended else {"Retry-After": POLL_S}
    )


@router.get("/v1/batches/{batch_id}/jobs", response_model=BatchItems, responses=problems(404, 422, 503))
async def list_items(
    farm: TheFarm,
    caller: Reader,
    batch_id: BatchId,
    order: Annotated[
        Literal["number", "ended", "troubled"],
        Query(description="As they were added; as they ended; only those that did not succeed whole."),
    ] = "number",
    cursor: Annotated[
        int, Query(ge=0, le=MOST_CURSOR, description="As the former answer gave it; 0: from the beginning.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="With order=ended: seconds to hold until one more has ended.")
    ] = 0,
) -> Response:
    """The items of a batch, with the ids of their jobs. In order of ending, ask again with the `cursor` until it is null."""
    call = batch_calls.items(caller.tenant, batch_id, order=_order(order), after=cursor, limit=limit)
    listed = await until_more_ended(farm, caller, batch_id, call, wait if order == "ended" else 0)
    items = [one.item for one in listed.items]
    state = listed.batch.view.state
    if order == "ended":
        counts = listed.batch.view.counts
        seen = cursor + len(items)
        after = None if state.ended and seen >= counts.ended else str(seen)
    else:
        after = str(items[-1].number) if len(items) == limit else None
    return as_json(BatchItems(state=state, items=items, cursor=after))


@router.get(
    "/v1/batches/{batch_id}/events",
    response_class=Response,
    response_model=None,
    responses={
        200: {
            "description": "Events `item` (an item that has ended) and `batch` (how the batch stands); `problem` (a problem document) where the "
            "stream ends early. Comments keep it alive. It ends when the batch has ended.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "This `Last-Event-ID` was the last event: there is no more."},
    }
    | problems(404, 422, 429, 503),
)
async def batch_events(farm: TheFarm, caller: Reader, batch_id: BatchId, last_event_id: LastEventId = None) -> Response:
    """The items of a batch as they end, as server-sent events. Whoever comes back with a `Last-Event-ID` goes on from there."""
    if last_event_id == LAST_ID:
        return Response(status_code=204)
    after = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else 0
    return EventStream(farm, caller, BatchTeller(farm, caller.tenant, batch_id, min(after, MOST_CURSOR)))


def _order(name: Order) -> Order:
    return name


# ---------------------------------------------------------------------------------------------------- ending


@router.post(
    "/v1/batches/{batch_id}/close", status_code=202, response_model=BatchView, responses=problems(404, 422, 503)
)
async def close_batch(farm: TheFarm, caller: Submitter, batch_id: BatchId) -> Response:
    """No more files come. The batch ends with its last job."""
    if await farm.ledger(batch_calls.close(caller.tenant, batch_id)) == "unknown":
        raise NotFound(f"There is no batch {batch_id!r} here, or its record has expired.")
    return as_json(await _view(farm, caller, await find_batch(farm, caller.tenant, batch_id)), 202)


@router.post(
    "/v1/batches/{batch_id}/cancel", status_code=202, response_model=BatchView, responses=problems(404, 409, 422, 503)
)
async def cancel_batch(farm: TheFarm, caller: Submitter, batch_id: BatchId) -> Response:
    """Cancel all that has not ended; what is read stays. 409 where the batch has ended."""
    await _stop(farm, caller, batch_id, "cancel")
    return as_json(await _view(farm, caller, await find_batch(farm, caller.tenant, batch_id)), 202)


@router.delete("/v1/batches/{batch_id}", status_code=204, response_model=None, responses=problems(404, 422, 503))
async def delete_batch(farm: TheFarm, caller: Submitter, batch_id: BatchId) -> Response:
    """Remove the batch with all its jobs, documents and results; what is under way is cancelled first."""
    await _stop(farm, caller, batch_id, "delete")
    return Response(status_code=204)


async def _stop(farm: Farm, caller: Caller, batch_id: str, how: Literal["cancel", "delete"]) -> None:
    outcome = await farm.ledger(batch_calls.stop(caller.tenant, batch_id, how))
    if outcome == "unknown":
        raise NotFound(f"There is no batch {batch_id!r} here, or its record has expired.")
    if outcome == "ended":
        raise AlreadyEnded("The batch has ended; nothing is left to cancel.")
    while await farm.ledger(batch_calls.stopping(batch_id)):
        pass  # a chunk at a time, so that others come in between
