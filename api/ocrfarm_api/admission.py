"""Whether a document may come in: the tenant's quota and the farm's places (429, 503), and room on the disk and in Redis (503).

Asked before the body is read, so that a farm that is overrun does not spend itself on receiving what it then refuses. The ledger's `submit`
counts, and decides again, atomically. The two guards refuse while there is still room: what was accepted must be able to end.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError, RedisError

from ocrfarm_shared.errors import (
    DocumentError,
    FarmFull,
    FarmUnavailable,
    IdempotencyConflict,
    OcrFarmError,
    OverQuota,
    RequestError,
    Unauthorized,
)
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
PAGE_BYTES = 4096  # and for each page under way, so much at least for the result that it will leave
LEAST_S, MOST_S = 1.0, 60.0


@dataclass
class Headroom:
    """What is left on the disk of the uploads and in Redis, as last seen."""

    free_disk: int = 0
    disk_size: int = 0
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
            usage = shutil.disk_usage(farm.blobs.folder)
            self.free_disk, self.disk_size = usage.free, usage.total
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

    def trouble(self, settings: Settings, promised: int = 0) -> str | None:
        """Why nothing is taken, as a sentence; None where there is room. `promised`: bytes of Redis that what was accepted will take."""
        if self.free_disk < settings.min_free_disk_bytes:
            return "The farm's disk is nearly full; try again after Retry-After seconds."
        if self.redis_most and self.redis_used + promised > (1 - RESERVED) * self.redis_most:
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


async def admit(
    farm: Farm,
    caller: Caller,
    length: int | None = None,
    *,
    idempotency_key: str | None = None,
    perhaps_repeated: bool = False,
) -> None:
    """Raises OverQuota, FarmFull, and the ledger's RedisError. `length`: bytes of the body that waits to be read; None: not known.

    `idempotency_key`: where it is known, the job is there already, whatever the quota says now. `perhaps_repeated`: so may be items of a
    batch, which is known when they have been read; `submit` decides. Others are refused before it is known whether the cache would have
    answered: that takes their body.
    """
    if length is not None and length <= SMALL_BYTES and farm.let_in.still(caller.tenant):
        return
    limits = limits_of(farm, caller)
    asked: Admission = await farm.ledger(calls.admit(caller.tenant, limits, idempotency_key))
    for refusal in (asked.over, asked.full):
        if refusal is not None and not perhaps_repeated:
            raise refused(refusal, limits)
    await farm.headroom.look(farm)
    # A document that was not opened yet is a page at least.
    promised = max(asked.active, asked.pages) * max(PAGE_BYTES, asked.page_bytes)
    if trouble := farm.headroom.trouble(farm.settings, promised):
        # Room comes as jobs end and their results expire: when a tenth of those under way have ended it is worth another look.
        seconds = asked.active / 10 / asked.pace if asked.pace else MOST_S / 2
        raise FarmFull(trouble, retry_after=min(MOST_S, max(LEAST_S, seconds)))
    farm.let_in.note(caller.tenant)


class Counted:
    """A body, counted as it is read."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self.bytes = 0
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            self.bytes += len(piece)
            yield piece


@asynccontextmanager
async def counting_refusals(farm: Farm, caller: Caller, body: Counted) -> AsyncIterator[None]:
    """While an upload is received and becomes a job. One that is no document, too large or asks for what there is not takes from the
    tenant's quota too, or a tenant could keep the farm busy for nothing. The refusals of quota and farm themselves count nothing."""
    try:
        yield
    except (RequestError, DocumentError) as err:
        if not isinstance(err, (OverQuota, Unauthorized, IdempotencyConflict)):  # the last one is counted by `submit`
            await charge_refused(farm, caller, body.bytes)
        raise


async def charge_refused(farm: Farm, caller: Caller, came: int) -> None:
    """An upload of so many bytes came in and became no job."""
    limits = limits_of(farm, caller)
    if not (limits.jobs_per_minute or limits.bytes_per_day):  # nothing to count against
        return
    try:
        if await farm.ledger(calls.charge(caller.tenant, limits, came)):
            farm.let_in.forget(caller.tenant)
    except RedisError as err:  # what was wrong with the upload is the answer, all the same
        log.warning("a refused upload was not counted: %s", err)


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
        "pages_per_day": f"You may have {limits.pages_per_day} pages read in 24 hours. {again}",
        "queued": f"You may have {limits.queued} jobs under way at once. Wait until some have ended. {again}",
        "refused_items": f"{limits.records} files of your batches that could not be read are kept, and no more may be. DELETE batches "
        f"that you are done with. {again}",
        "records": f"{limits.records} jobs of yours are kept, and no more may be. DELETE those whose results you have, or wait "
        f"until they expire. {again}",
    }[refusal.limit]
    return OverQuota(said, retry_after=refusal.seconds)
