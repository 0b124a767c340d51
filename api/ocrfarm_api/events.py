"""The ledger's hints over Redis pub/sub: one subscription for the whole process, handed to whoever waits for something here.

A hint may be lost (Redis restarts, a connection breaks), so a waiter looks at the ledger every NET_S seconds anyway.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from ocrfarm_shared.ledger import AsyncLedger

log = logging.getLogger(__name__)

NET_S = 2.0
SILENCE_S = 5.0  # then the connection is asked whether it lives; no answer in as long again, and it is made anew
LONGEST_PAUSE_S = 2.0


class Ear(asyncio.Event):
    """Set when something was said about one of the names that its holder watches; `heard`: which of them."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: set[str] = set()

    def take(self) -> frozenset[str]:
        """What was heard since the last call."""
        heard = frozenset(self.heard)
        self.heard.clear()
        self.clear()
        return heard


class Events:
    """`watch(name, ...)` gives an ear for jobs, runs or batches, by their ids. `stopping`: this gateway takes its leave.

    A job's own name is said when it has ended; its run's when the run begins, when its pages are counted, at each page, and at its end.
    """

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        self._watchers: defaultdict[str, set[Ear]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self.stopping = False
        self.connected = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._listen_for_ever(), name="events")

    async def stop(self) -> None:
        self.release()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def release(self) -> None:
        """Let every waiting request answer now: the process was told to stop."""
        self.stopping = True
        self._wake_all()

    @property
    def watched(self) -> int:
        """Names that somebody waits for."""
        return len(self._watchers)

    @contextmanager
    def watch(self, *names: str) -> Iterator[Ear]:
        ear = Ear()
        for name in names:
            self._watchers[name].add(ear)
        try:
            yield ear
        finally:
            for name in names:
                self._watchers[name].discard(ear)
                if not self._watchers[name]:
                    del self._watchers[name]

    def _wake_all(self) -> None:
        for name in self._watchers:
            self._say(name)

    def _say(self, name: str) -> None:
        for ear in self._watchers.get(name, ()):
            ear.heard.add(name)
            ear.set()

    async def _listen_for_ever(self) -> None:
        pause = 0.1
        while True:
            try:
                async with self._ledger.redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._ledger.events_channel)
                    self.connected, pause = True, 0.1
                    self._wake_all()  # what was said while nobody listened is in the ledger
                    asked = False
                    while True:
                        message = await pubsub.get_message(timeout=SILENCE_S)
                        if message is not None:
                            asked = False
                            if message["type"] == "message":
                                self._hear(message["data"])
                        elif asked:
                            raise RedisConnectionError("no answer on the events connection")
                        else:
                            await pubsub.ping()
                            asked = True
            except (RedisError, OSError) as err:
                if self.connected:
                    log.warning("events are not heard (%s); waiting requests poll meanwhile", err)
                self.connected = False
            except Exception:
                log.exception("the events task stumbled; it goes on")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _hear(self, data: bytes) -> None:
        hint = json.loads(data)
        told = [name for kind in ("job", "batch") if (name := hint.get(kind))]
        # A run that ends says so for each of its jobs, a thousand perhaps, and then once for itself.
        for name in told or [hint.get("run", "")]:
            self._say(name)
