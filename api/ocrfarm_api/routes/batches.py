"""Batches: look, list, follow, close, cancel, delete."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from ocrfarm_api.callers import Caller, Reader, Submitter
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.following_batches import BatchTeller, find_batch, until_batch_ended, until_more_ended
from ocrfarm_api.routes.answers import POLL_S, Wait, as_json, problems
from ocrfarm_api.routes.batch_answers import BatchId, batch_view, links
from ocrfarm_api.routes.events import LastEventId
from ocrfarm_api.streams import LAST_ID, EventStream
from ocrfarm_api.waiting import MAX_WAIT_S
from ocrfarm_shared.batches import BatchItems, BatchList, BatchView
from ocrfarm_shared.errors import AlreadyEnded, BadOption, NotFound
from ocrfarm_shared.ledger import batch_calls
from ocrfarm_shared.ledger.batch_calls import Order

router = APIRouter(tags=["batches"])

MOST_CURSOR = 10_000_000
_TIME = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `item` (an item that has ended) and `batch` (how the batch stands); `problem` (a problem document) "
        "where the stream ends early. Comments keep it alive. It ends when the batch has ended.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "This `Last-Event-ID` was the last event: there is no more."},
}


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
        await batch_view(farm, caller, batch), headers=None if batch.view.state.ended else {"Retry-After": POLL_S}
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
    responses=STREAM | problems(404, 422, 429, 503),
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
    return as_json(await batch_view(farm, caller, await find_batch(farm, caller.tenant, batch_id)), 202)


@router.post(
    "/v1/batches/{batch_id}/cancel", status_code=202, response_model=BatchView, responses=problems(404, 409, 422, 503)
)
async def cancel_batch(farm: TheFarm, caller: Submitter, batch_id: BatchId) -> Response:
    """Cancel all that has not ended; what is read stays. 409 where the batch has ended."""
    await _stop(farm, caller, batch_id, "cancel")
    return as_json(await batch_view(farm, caller, await find_batch(farm, caller.tenant, batch_id)), 202)


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
