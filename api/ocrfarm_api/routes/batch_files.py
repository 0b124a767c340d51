"""Batches: open one, add files. The bodies are read as they stream, whatever form they have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from python_multipart.multipart import parse_options_header
from starlette.responses import Response

from ocrfarm_api import options
from ocrfarm_api.admission import admit
from ocrfarm_api.batch_intake import Taking, drain, new_spool, take_form, take_raw
from ocrfarm_api.callers import Caller, Submitter
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.following_batches import find_batch
from ocrfarm_api.intake import disk_full, steady
from ocrfarm_api.many_files import ManyFiles, Part
from ocrfarm_api.problems import problem
from ocrfarm_api.routes.answers import POLL_S, IdempotencyKey, as_json, problems
from ocrfarm_api.routes.batch_answers import BatchId, batch_view, links
from ocrfarm_api.routes.submission_form import BATCH_BODY, FILES_BODY, with_query
from ocrfarm_shared.batches import BatchReceipt
from ocrfarm_shared.errors import BadOption, IdempotencyConflict, MissingFile, OcrFarmError, OverQuota, TooLarge
from ocrfarm_shared.ledger import batch_calls
from ocrfarm_shared.ledger.batch_calls import BatchRecord

router = APIRouter(tags=["batches"])

MOST_JSON = 64 * 1024
UNREAD_BYTES, UNREAD_S = 8_000_000, 3.0  # of a body that was refused, so that its sender comes to read why
_FLAGS = {
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
    by `close=true` here (also after the files), by POST …/close, or by the farm some time after the last file. A file that cannot be read
    is an item with an error. Where the request ends early (429, 503), what was taken is taken: send it again with the same Idempotency-Key,
    and nothing is taken twice.
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

    async def closed(taking: Taking, fields: Mapping[str, str]) -> None:
        if closing or _flag(fields.get("close", False)):
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

    async def nothing(_: Taking, __: Mapping[str, str]) -> None: ...

    return await _receive(request, farm, caller, idempotency_key or None, known, nothing, may_be_empty=False)


async def _receive(
    request: Request,
    farm: Farm,
    caller: Caller,
    prefix: str | None,
    open_it: Opener,
    then: Callable[[Taking, Mapping[str, str]], Awaitable[None]],
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
        fields = await _read(request, farm, body, begin, may_be_empty=may_be_empty)
        assert taking is not None
        await then(taking, fields)
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
) -> Mapping[str, str]:
    """Answers a form's fields, those too that came after the batch was begun."""
    content_type = request.headers.get("content-type")
    kind, parameters = parse_options_header(content_type)
    limit = farm.settings.max_upload_bytes
    if kind == b"multipart/form-data":
        if not parameters.get(b"boundary"):
            raise BadOption("The Content-Type names no boundary; let your HTTP library set it.")
        most, late = farm.settings.max_batch_items, ("close",) if may_be_empty else ()
        form = ManyFiles(parameters[b"boundary"], lambda: new_spool(farm), limit, most, late)

        def fields() -> dict[str, str]:
            return {name: ",".join(said) for name, said in form.fields.items()}

        await take_form(body, form, lambda: begin(fields()))
        if not form.begun and not may_be_empty:
            raise MissingFile("The form holds no `file`; send each document as a part of that name.")
        return fields()
    if kind == b"application/json" and may_be_empty:
        await begin(await _json(body))
    elif kind == b"application/x-www-form-urlencoded":
        raise BadOption("Send files as multipart/form-data (curl -F), and options there, as JSON, or in the address.")
    else:
        first = await anext(aiter(body), b"")
        if not first:
            if not may_be_empty:
                raise MissingFile
            await begin({})
            return {}
        taking = await begin({})
        part = Part(0, request.query_params.get("filename"), None, new_spool(farm))
        part.feed(first, limit)
        await take_raw(body, part, limit, taking)
    return {}


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
    known = _FLAGS.get(str(value).lower())
    if known is None:
        raise BadOption("`close` is true or false.")
    return known


async def _receipt(farm: Farm, caller: Caller, taking: Taking) -> Response:
    view = await batch_view(farm, caller, await find_batch(farm, caller.tenant, taking.batch.id))
    items = sorted(taking.items, key=lambda item: item.number)
    body = BatchReceipt(**dict(view), added=taking.taken, items=items)
    here = links(view.id)["self"]
    return as_json(body, 202, {"Location": here, "Operation-Location": here, "Retry-After": POLL_S})
