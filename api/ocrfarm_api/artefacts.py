"""The use case: what a worker makes of a job's document is asked for, and held for while it is made. No HTTP types here."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ocrfarm_api.callers import Caller, recheck
from ocrfarm_api.deps import Farm
from ocrfarm_api.events import NET_S
from ocrfarm_api.holding import on_purpose
from ocrfarm_shared.artefacts import Artefact
from ocrfarm_shared.errors import Expired, FarmFull, NotFound, OverQuota, from_failure
from ocrfarm_shared.ledger import artefact_calls
from ocrfarm_shared.ledger.artefact_calls import Asked

FULL_S = 30.0


@dataclass(frozen=True)
class Made:
    """A file in the blob store. `print` is its own: no other content ever has it."""

    path: Path
    print: str


async def made(farm: Farm, caller: Caller, job_id: str, artefact: Artefact, wait: float = 0) -> Made | None:
    """The artefact; None where it is still being made after `wait` seconds (or the job has not ended that it is made of).

    Raises NotFound, Expired, FarmFull, OverQuota, Unauthorized, the error that its making ended with, and the ledger's RedisError.
    """
    loop = asyncio.get_running_loop()
    limit = loop.time() + wait
    lost: str | None = None
    while True:
        asked = await _ask(farm, caller, job_id, artefact, lost)
        if asked.outcome == "ready":
            path = farm.blobs.path(asked.blob)
            if await loop.run_in_executor(farm.threads, path.is_file):
                return Made(path, asked.blob.rpartition("/")[2])
            if lost == asked.blob:
                raise FarmFull("The farm's store lost the file; try again after Retry-After seconds.", retry_after=5)
            lost = asked.blob  # somebody removed it from the store: it is made anew
            continue
        left = limit - loop.time()
        if asked.outcome == "early" or left <= 0 or farm.events.stopping:
            return None
        with farm.events.watch(asked.run_id) as ended:
            if (await _ask(farm, caller, job_id, artefact, lost)).outcome == "making":
                with suppress(TimeoutError), on_purpose():
                    await asyncio.wait_for(ended.wait(), min(left, NET_S))
        await recheck(farm, caller)


async def _ask(farm: Farm, caller: Caller, job_id: str, artefact: Artefact, lost: str | None) -> Asked:
    await farm.headroom.look(farm)
    trouble = farm.headroom.trouble(farm.settings)
    most = 0 if trouble else artefact_calls.MOST_MAKING
    asked = await farm.ledger(artefact_calls.ask(caller.tenant, job_id, artefact, most_making=most, lost=lost))
    if asked.outcome == "unknown":
        raise NotFound(f"There is no job {job_id[:64]!r} here, or its record has expired.")
    if asked.outcome == "gone":
        raise Expired
    if asked.outcome == "failed":
        assert asked.failure is not None
        raise from_failure(asked.failure)
    if asked.outcome == "full":
        if trouble:
            raise FarmFull(trouble, retry_after=FULL_S)
        raise OverQuota(
            f"{artefact_calls.MOST_MAKING} pictures or PDFs are being made for you; try again after Retry-After seconds.",
            retry_after=asked.seconds,
        )
    return asked
