"""Whether a document may come in: the tenant's quota and the farm's places (429, 503), and room on the disk and in Redis (503).

Asked before the body is read, so that a farm that is overrun does not spend itself on receiving what it then refuses. The ledger's `submit`
counts, and decides again, atomically. The two guards refuse while there is still room: what was accepted must be able to end.
"""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError

from ocrfarm_shared.errors import FarmFull, FarmUnavailable, OcrFarmError, OverQuota
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.limits import Admission, Limits, Refusal
from ocrfarm_shared.settings import Settings

if TYPE_CHECKING:
    from ocrfarm_api.callers import Caller
    from ocrfarm_api.deps import Farm

log = logging.getLogger(__name__)

SMALL_BYTES = 2_000_000
AGAIN_S = 0.25  # a tenant who was let in is let in again for so long with small documents, unasked
LOOK_S = 0.5  # how old the figures of disk and Redis may be
RESERVED = 0.1  # of Redis' memory: for what is under way, its bookkeeping, and buffers
ENDING_BYTES = 4096  # and for each job under way, so much for the result that it will leave
LEAST_S, MOST_S = 1.0, 60.0


@dataclass
class Headroom:
    """What is left on the disk of the uploads and in Redis, as last seen."""

    free_disk: int = 0
    redis_used: int = 0
    redis_most: int = 0
    """Redis' maxmemory in bytes; 0: it has none, or does not say."""
    _looked: float = field(default=float("-inf"))

    async def look(self, farm: Farm) -> None:
        """Raises the ledger's RedisError."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        try:
            self.free_disk = shutil.disk_usage(farm.blobs.folder).free
        except OSError as err:
            raise FarmUnavailable(
                "The folder of the uploads cannot be reached; try again after Retry-After seconds."
            ) from err
        try:
            told = await farm.ledger.redis.info("memory")
            self.redis_used, self.redis_most = int(told["used_memory"]), int(told["maxmemory"])
        except NoPermissionError:
            if self.redis_most == 0 and self.redis_used == 0:
                log.warning("Redis does not let the gateway see its memory (INFO); it is refused only when it is full")
                self.redis_used = 1

    def trouble(self, settings: Settings, active: int) -> str | None:
        """Why nothing is taken, as a sentence; None where there is room."""
        if self.free_disk < settings.min_free_disk_mb * 1_000_000:
            return "The farm's disk is nearly full; try again after Retry-After seconds."
        if self.redis_most and self.redis_used + active * ENDING_BYTES > (1 - RESERVED) * self.redis_most:
            return (
                "The farm's memory for jobs is nearly full, and kept for those that were accepted; try again after Retry-After "
                "seconds."
            )
        return None


@dataclass
class LetIn:
    """Tenants who were let in a moment ago. A stream of small documents spares the ledger the same question; `submit` decides all the same,
    so that this can let in a body to be read, never a job."""

    _until: dict[str, float] = field(default_factory=dict)

    def still(self, tenant: str) -> bool:
        return self._until.get(tenant, 0.0) > time.monotonic()

    def note(self, tenant: str) -> None:
        now = time.monotonic()
        if len(self._until) > 1000:
            self._until = {name: until for name, until in self._until.items() if until > now}
        self._until[tenant] = now + AGAIN_S

    def forget(self, tenant: str) -> None:
        self._until.pop(tenant, None)


def limits_of(farm: Farm, caller: Caller) -> Limits:
    return Limits.of(farm.settings, caller.quota if caller.key_id else None)


async def admit(farm: Farm, caller: Caller, length: int | None = None, *, perhaps_repeated: bool = False) -> None:
    """Raises OverQuota, FarmFull, and the ledger's RedisError. `length`: bytes of the body that waits to be read; None: not known.

    `perhaps_repeated`: the request has an Idempotency-Key. Its job may be there already, whatever the quota says now; `submit` knows.
    Others are refused before it is known whether the cache would have answered: that takes their body.
    """
    if length is not None and length <= SMALL_BYTES and farm.let_in.still(caller.tenant):
        return
    limits = limits_of(farm, caller)
    asked: Admission = await farm.ledger(calls.admit(caller.tenant, limits))
    for refusal in (asked.over, asked.full):
        if refusal is not None and not perhaps_repeated:
            raise refused(refusal, limits)
    await farm.headroom.look(farm)
    if trouble := farm.headroom.trouble(farm.settings, asked.active):
        # Room comes as jobs end and their results expire: when a tenth of those under way have ended it is worth another look.
        seconds = asked.active / 10 / asked.pace if asked.pace else MOST_S / 2
        raise FarmFull(trouble, retry_after=min(MOST_S, max(LEAST_S, seconds)))
    farm.let_in.note(caller.tenant)


def refused(refusal: Refusal, limits: Limits) -> OcrFarmError:
    """The error that a limit answers with, which says what to do."""
    again = "Try again after Retry-After seconds."
    if refusal.limit == "max_queued":
        return FarmFull(f"The farm's queue is full. {again}", retry_after=refusal.seconds)
    if refusal.limit == "max_waiting_s":
        said = f"Documents sent before this one have waited for over {limits.max_waiting_s:g} s: the farm is overrun. {again}"
        return FarmFull(said, retry_after=refusal.seconds)
    said = {
        "jobs_per_minute": f"You may send {limits.jobs_per_minute} documents a minute. {again}",
        "bytes_per_day": f"You may send {limits.bytes_per_day / 1e6:g} MB in 24 hours. {again}",
        "queued": f"You may have {limits.queued} jobs under way at once. Wait until some have ended. {again}",
        "records": f"{limits.records} jobs of yours are kept, and no more may be. DELETE those whose results you have, or wait "
        f"until they expire. {again}",
    }[refusal.limit]
    return OverQuota(said, retry_after=refusal.seconds)
