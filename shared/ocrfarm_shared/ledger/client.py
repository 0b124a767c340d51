"""Two thin clients that run the ledger's calls: one blocking, one asyncio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import NoScriptError

from ocrfarm_shared.ledger.calls import Call
from ocrfarm_shared.ledger.scripts import script
from ocrfarm_shared.settings import Settings

T = TypeVar("T")

# Half-open connections are found within seconds, not hours (reliability: rows 4 and 7 of the fault table).
CONNECTION: dict[str, Any] = {
    "socket_timeout": 15,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
}


def _arguments(call: Call[Any], namespace: str) -> tuple[Any, ...]:
    return (0, namespace, json.dumps(call.arguments, separators=(",", ":")), call.payload)


def _answer(call: Call[T], raw: Any) -> T:
    return call.parse(json.loads(raw) if isinstance(raw, bytes | str) else raw)


class Ledger:
    """Blocking. Raises redis.exceptions.RedisError where Redis cannot be reached or is full."""

    def __init__(self, connection: redis.Redis, namespace: str) -> None:
        self.redis = connection
        self.namespace = namespace

    @classmethod
    def open(cls, settings: Settings) -> Ledger:
        return cls(redis.Redis.from_url(settings.broker_url, **CONNECTION), settings.namespace)

    def __call__(self, call: Call[T]) -> T:
        one, arguments = script(call.script), _arguments(call, self.namespace)
        try:
            raw = self.redis.evalsha(one.sha, *arguments)
        except NoScriptError:  # a fresh or restarted Redis
            raw = self.redis.eval(one.source, *arguments)
        return _answer(call, raw)

    def all(self, some: Sequence[Call[T]]) -> list[T]:
        """Several calls in one round trip, each a transition of its own: another client's may come in between. Raises as one call does;
        what was done before the error is done."""
        with self.redis.pipeline(transaction=False) as pipe:
            for call in some:
                pipe.evalsha(script(call.script).sha, *_arguments(call, self.namespace))
            try:
                return [_answer(call, raw) for call, raw in zip(some, pipe.execute(), strict=True)]
            except NoScriptError:  # then none of that name was done
                return [self(call) for call in some]

    def close(self) -> None:
        self.redis.close()


class AsyncLedger:
    """The same for asyncio; safe to share between requests."""

    def __init__(self, connection: redis.asyncio.Redis, namespace: str) -> None:
        self.redis = connection
        self.namespace = namespace

    @classmethod
    def open(cls, settings: Settings) -> AsyncLedger:
        return cls(redis.asyncio.Redis.from_url(settings.broker_url, **CONNECTION), settings.namespace)

    async def __call__(self, call: Call[T]) -> T:
        one, arguments = script(call.script), _arguments(call, self.namespace)
        try:
            try:
                raw = await self.redis.evalsha(one.sha, *arguments)
            except NoScriptError:
                raw = await self.redis.eval(one.source, *arguments)
        except RuntimeError as err:
            # uvloop's word for a connection that Redis closed before it was written to; redis-py knows asyncio's alone.
            if "handler is closed" not in str(err):
                raise
            raise LostConnection(str(err)) from err
        return _answer(call, raw)

    @property
    def events_channel(self) -> str:
        """Pub/sub channel of {"run", "job", "page", "state"} hints. Polling stays the source of truth."""
        return f"{self.namespace}:events"

    async def close(self) -> None:
        await self.redis.aclose()
