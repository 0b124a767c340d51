"""What the routes about batches share: ids, links, how a batch is shown."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends
from fastapi import Path as PathParameter

from ocrfarm_api.callers import Caller
from ocrfarm_api.deps import Farm
from ocrfarm_shared.batches import BatchView
from ocrfarm_shared.errors import NotFound
from ocrfarm_shared.ledger import batch_calls
from ocrfarm_shared.ledger.batch_calls import BatchRecord

FIRST_ERRORS = 20
_BATCH_ID = re.compile(r"batch_[0-9a-f]{32}")


async def _batch_id(batch_id: Annotated[str, PathParameter(description="As its creation answered it.")]) -> str:
    if not _BATCH_ID.fullmatch(batch_id):
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


async def batch_view(farm: Farm, caller: Caller, batch: BatchRecord) -> BatchView:
    view = batch.view.model_copy(update={"links": links(batch.id)})
    counts = view.counts
    if not (counts.failed or counts.partial or counts.cancelled or counts.refused):
        return view
    call = batch_calls.items(caller.tenant, batch.id, order="troubled", limit=FIRST_ERRORS)
    listed = await farm.ledger(call)
    return view.model_copy(update={"errors": [one.item for one in listed.items] if listed else []})
