"""What every route works with: the ledger, the blob store, the events, threads for the disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated

import redis.asyncio
from fastapi import Depends, Request
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ocrfarm_api.admission import Headroom, LetIn
from ocrfarm_api.events import Events
from ocrfarm_api.metrics import Metrics
from ocrfarm_api.open_streams import OpenStreams
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.ledger import AsyncLedger
from ocrfarm_shared.ledger.client import CONNECTION
from ocrfarm_shared.settings import Settings

# A thread here waits for the disk (fsync) and uses no processor, so there are more of them than cores.
DISK_THREADS = 16
CONNECTIONS = 64
MOST_LARGE = 16  # results of many pages that one gateway holds at a time, up to 100 MB each


@dataclass(frozen=True)
class Farm:
    """One gateway process' means. Made when the application starts, closed when it stops."""

    settings: Settings
    ledger: AsyncLedger
    blobs: BlobStore
    events: Events
    streams: OpenStreams
    large: OpenStreams = field(default_factory=lambda: OpenStreams(MOST_LARGE, "large results"))
    metrics: Metrics = field(default_factory=Metrics)
    headroom: Headroom = field(default_factory=Headroom)
    let_in: LetIn = field(default_factory=LetIn)
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk")
    )

    @classmethod
    def open(cls, settings: Settings) -> Farm:
        """Raises SettingsError where no Redis is named. Redis need not be up yet."""
        ledger = AsyncLedger(_connection(settings), settings.namespace)
        blobs = BlobStore(settings.blob_folder)
        blobs.prepare()
        return cls(settings, ledger, blobs, Events(ledger), OpenStreams(settings.max_streams))

    async def close(self) -> None:
        await self.events.stop()
        await self.ledger.redis.aclose()
        self.threads.shutdown(wait=True)


def _connection(settings: Settings) -> redis.asyncio.Redis:
    """Callers above the pool's size wait their turn instead of failing. One more try covers a connection that a restart of Redis left
    behind in the pool; more would only hold the request, which is answered 503 and tried again by its caller."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.broker_url,
        **(CONNECTION | {"socket_timeout": 5, "socket_connect_timeout": 2}),
        max_connections=CONNECTIONS,
        timeout=5,
        retry=Retry(NoBackoff(), 1),
    )
    return redis.asyncio.Redis.from_pool(pool)


# A coroutine although it waits for nothing: FastAPI runs plain functions in a thread, half a millisecond each.


async def farm(request: Request) -> Farm:
    found: Farm = request.app.state.farm
    return found


TheFarm = Annotated[Farm, Depends(farm)]
