"""Server-sent events (WHATWG HTML, 9.2): an answer that stays open and tells what changes, until there is nothing more to tell.

Whoever has something to tell writes a `Teller`: which names wake it (`Events`), and a look at the ledger that gives what is new since the
last. The ledger is the truth; hints only say when to look, and without any it is looked at every NET_S seconds. A stream that breaks is
asked for again, and begins with how everything stands.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ocrfarm_api.callers import Caller, recheck
from ocrfarm_api.deps import Farm
from ocrfarm_api.events import NET_S
from ocrfarm_api.problems import of_redis
from ocrfarm_shared.contracts import Problem
from ocrfarm_shared.errors import OcrFarmError

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0  # a comment, so that no proxy on the way takes the silence for the end
GAP_S = 0.2  # between two looks: a document of a thousand pages says a thousand hints
SEND_S = 30.0  # who takes nothing for so long is gone
AGAIN_MS = 2000  # after which a browser asks again when a stream breaks
LAST_ID = "end"  # of the last event: a browser that comes back with it is told that there is no more


@dataclass(frozen=True)
class Told:
    """One event: its name, and what it carries."""

    event: str
    data: BaseModel | dict[str, Any]
    id: str = ""

    def encode(self) -> bytes:
        text = self.data.model_dump_json() if isinstance(self.data, BaseModel) else json.dumps(self.data)
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.event}\ndata: {text}\n\n".encode("utf8", "replace")  # JSON has no line break in it


class Teller(Protocol):
    """`names`: what it wants to be woken for, after a look. `ended`: after this look there is nothing more to tell."""

    ended: bool

    @property
    def names(self) -> Collection[str]: ...

    async def look(self, heard: Collection[str] | None) -> list[Told]:
        """What is new. `heard`: the names that woke it; None: look at everything. Raises OcrFarmError, which ends the stream."""
        ...


class EventStream(Response):
    """The answer. Errors of the first look are answered as every other route's; later ones end the stream with an event `problem`.

    The caller's key is looked up again every NET_S seconds, as in other requests that are held.
    """

    media_type = "text/event-stream"

    def __init__(self, farm: Farm, caller: Caller, teller: Teller) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers["X-Accel-Buffering"] = "no"  # nginx would keep the events until there are enough of them
        self._farm, self._caller, self._teller = farm, caller, teller

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        caller = self._caller
        with self._farm.streams.one_more(caller.tenant, keyed=caller.key_id is not None):
            first = await self._teller.look(None)
            telling = asyncio.create_task(self._tell(first, send))
            leaving = asyncio.create_task(_until_gone(receive))
            try:
                await asyncio.wait((telling, leaving), return_when=asyncio.FIRST_COMPLETED)
                if telling.done():
                    telling.result()
            except TimeoutError:
                log.info("an event stream was not taken for %g s, and is closed", SEND_S)
            finally:
                # Both are over before this returns, whatever happened: nothing is told to nobody.
                for task in (telling, leaving):
                    task.cancel()
                await asyncio.gather(telling, leaving, return_exceptions=True)

    async def _tell(self, first: list[Told], send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _send(send, f"retry: {AGAIN_MS}\n\n".encode() + b"".join(told.encode() for told in first))
        try:
            await self._go_on(send)
        except OcrFarmError as err:
            await _send(send, _problem(err).encode())
        except RedisError as err:
            await _send(send, _problem(of_redis(err)).encode())
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _go_on(self, send: Send) -> None:
        loop, events = asyncio.get_running_loop(), self._farm.events
        said = checked = loop.time()
        while not self._teller.ended and not events.stopping:
            names = frozenset(self._teller.names)
            with events.watch(*names) as ear:
                # What was said between the look and the watch is not lost: the first round looks at everything.
                heard: Collection[str] | None = None
                while not self._teller.ended and not events.stopping and names.issuperset(self._teller.names):
                    new = await self._teller.look(heard)
                    if new:
                        await _send(send, b"".join(told.encode() for told in new))
                        said = loop.time()
                    if self._teller.ended or events.stopping:
                        break
                    await asyncio.sleep(GAP_S)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(ear.wait(), max(0.0, checked + NET_S - loop.time()))
                    heard = ear.take()
                    if loop.time() >= checked + NET_S:
                        await recheck(self._farm, self._caller)
                        checked, heard = loop.time(), None
                    if loop.time() >= said + HEARTBEAT_S:
                        await _send(send, b": still here\n\n")
                        said = loop.time()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(SEND_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})


def _problem(error: OcrFarmError) -> Told:
    body = Problem(
        title=error.title, status=error.status, detail=str(error), code=error.code, retryable=error.retryable
    )
    return Told("problem", body)
