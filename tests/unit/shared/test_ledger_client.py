"""The asyncio client of the ledger, on connections that end at the wrong moment."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio
import uvloop
from redis.exceptions import RedisError

from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.client import CONNECTION, AsyncLedger


class Closing(redis.asyncio.Connection):
    """Its transport is closed by the time it is written to, as when Redis is killed in that moment."""

    async def _connect(self) -> None:
        await super()._connect()
        assert self._writer is not None
        self._writer.transport.abort()
        await asyncio.sleep(0.05)


def test_a_connection_that_was_closed_before_it_is_written_to_is_an_error_of_redis() -> None:
    async def until_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(until_gone, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            pool = redis.asyncio.ConnectionPool(connection_class=Closing, host="127.0.0.1", port=port, **CONNECTION)
            ledger = AsyncLedger(redis.asyncio.Redis(connection_pool=pool), "test")
            try:
                await ledger(calls.view("tenant", ["job_" + "0" * 32]))
            finally:
                await ledger.close()
                await asyncio.sleep(0.05)  # the server's ends, too

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(RedisError):
        runner.run(ask())
