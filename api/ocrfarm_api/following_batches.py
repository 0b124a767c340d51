"""Finding a batch, holding a request until something of it has ended, and telling a stream about it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress

from ocrfarm_api.callers import Caller, recheck
from ocrfarm_api.deps import Farm
from ocrfarm_api.events import NET_S
from ocrfarm_api.streams import LAST_ID, Told
from ocrfarm_shared.batches import BatchView
from ocrfarm_shared.errors import NotFound
from ocrfarm_shared.ledger import batch_calls
from ocrfarm_shared.ledger.batch_calls import BatchRecord, ListedItems
from ocrfarm_shared.ledger.calls import Call

MOST_ITEMS = 100  # told at a time
GAP_S = 0.1  # between two looks: a farm of many nodes ends many items a second


def _none(batch_id: str) -> NotFound:
    return NotFound(f"There is no batch {batch_id[:64]!r} here, or its record has expired.")


async def find_batch(farm: Farm, tenant: str, batch_id: str) -> BatchRecord:
    """The batch as it stands. Raises NotFound; another tenant's is not found either."""
    found = await farm.ledger(batch_calls.view(tenant, [batch_id]))
    if not found:
        raise _none(batch_id)
    return found[0]


async def until_batch_ended(farm: Farm, caller: Caller, batch_id: str, seconds: float) -> BatchRecord:
    """The batch once it has ended, or as it stands after that long. Raises NotFound, Unauthorized."""
    loop = asyncio.get_running_loop()
    limit = loop.time() + seconds
    with farm.events.watch(batch_id) as said:
        while True:
            said.clear()
            batch = await find_batch(farm, caller.tenant, batch_id)
            if batch.view.state.ended or not await _go_on(farm, caller, said, limit):
                return batch


async def until_more_ended(
    farm: Farm, caller: Caller, batch_id: str, call: Call[ListedItems | None], seconds: float
) -> ListedItems:
    """What the call lists, as soon as it lists anything or the batch has ended. Raises NotFound, Unauthorized."""
    loop = asyncio.get_running_loop()
    limit = loop.time() + seconds
    with farm.events.watch(batch_id) as said:
        while True:
            said.clear()
            listed = await farm.ledger(call)
            if listed is None:
                raise _none(batch_id)
            if listed.items or listed.batch.view.state.ended or not await _go_on(farm, caller, said, limit):
                return listed


async def _go_on(farm: Farm, caller: Caller, said: asyncio.Event, limit: float) -> bool:
    """Wait for a hint, for NET_S at most. False: the time is over, or this gateway is told to stop."""
    loop = asyncio.get_running_loop()
    left = limit - loop.time()
    if left <= 0 or farm.events.stopping:
        return False
    with suppress(TimeoutError):
        await asyncio.wait_for(said.wait(), min(left, NET_S))
    await asyncio.sleep(min(GAP_S, max(0.0, limit - loop.time())))
    await recheck(farm, caller)
    return True


class BatchTeller:
    """Follows one batch to its end. Events: `item` (a BatchItem that has ended; those that had ended before come first), `batch` (the
    BatchView without its errors, at first and whenever its counts or its state change, after the items that ended by then)."""

    def __init__(self, farm: Farm, tenant: str, batch_id: str, after: int = 0) -> None:
        self._farm, self._tenant, self._id, self._after = farm, tenant, batch_id, after
        self._told: BatchView | None = None
        self.ended = False

    @property
    def names(self) -> set[str]:
        return {self._id}

    async def look(self, heard: Collection[str] | None) -> list[Told]:  # noqa: ARG002 - it has one name to hear
        """Raises NotFound."""
        call = batch_calls.items(self._tenant, self._id, order="ended", after=self._after, limit=MOST_ITEMS)
        listed = await self._farm.ledger(call)
        if listed is None:
            raise _none(self._id)
        told = [Told("item", one.item, str(self._after + n)) for n, one in enumerate(listed.items, 1)]
        self._after += len(listed.items)
        view = listed.batch.view
        self.ended = view.state.ended and self._after >= view.counts.ended
        if self.ended or (view != self._told and len(listed.items) < MOST_ITEMS):
            self._told = view
            told.append(Told("batch", view, LAST_ID if self.ended else str(self._after)))
        return told
