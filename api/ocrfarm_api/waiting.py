"""Holding a request until its job has ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ocrfarm_api.callers import Caller, recheck
from ocrfarm_api.deps import Farm
from ocrfarm_api.events import NET_S
from ocrfarm_api.holding import on_purpose
from ocrfarm_shared.errors import NotFound
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.records import JobRecord

MAX_WAIT_S = 60.0


def no_such_job(job_id: str) -> NotFound:
    """Another tenant's is none either. What to do is in the sentence."""
    return NotFound(
        f"There is no job {job_id[:64]!r} here: it was deleted, its record has expired, or another key sent it. "
        "GET /v1/jobs (`ocrfarm list`) shows yours; send the document again if it is not among them."
    )


async def find(farm: Farm, tenant: str, job_id: str) -> JobRecord:
    """The job as it stands. Raises NotFound; another tenant's job is not found either."""
    found = await farm.ledger(calls.view(tenant, [job_id]))
    if not found:
        raise no_such_job(job_id)
    return found[0]


async def until_ended(farm: Farm, caller: Caller, job_id: str, seconds: float) -> JobRecord:
    """The job once it has ended, or as it stands after that long (or when this gateway is told to stop). Raises NotFound, and Unauthorized
    where the caller's key is revoked meanwhile: it looks again every NET_S seconds."""
    loop = asyncio.get_running_loop()
    limit = loop.time() + seconds
    with farm.events.watch(job_id) as ended:
        while True:
            record = await find(farm, caller.tenant, job_id)
            left = limit - loop.time()
            if record.view.state.ended or left <= 0 or farm.events.stopping:
                return record
            with suppress(TimeoutError), on_purpose():
                await asyncio.wait_for(ended.wait(), min(left, NET_S))
            ended.clear()
            await recheck(farm, caller)
