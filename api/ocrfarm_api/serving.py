"""The gateway's server: uvicorn's, with a departure that nobody notices.

Several gateways may listen on one socket (`OCRFARM_GATEWAYS`). One that is told to stop takes no more connections, and what has not been
accepted is accepted by another. What it did accept it answers, the request that is just on its way too: uvicorn hangs up at once on every
connection without a request, also on one that was made a millisecond ago, whose caller would see a reset.
"""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from ocrfarm_api.events import Events
from ocrfarm_api.wire import BoundedHead

GRACE_S = 20  # uploads under way may end, then the process goes
COURTESY_S = 1.0  # how long a connection without a request may still bring one
_LOOK_S = 0.05


class Server(uvicorn.Server):
    """Serves one application until SIGTERM or SIGINT. `events` releases held requests then."""

    def __init__(self, config: uvicorn.Config, events: Events) -> None:
        super().__init__(config)
        self._events = events

    def handle_exit(self, sig: int, frame: object) -> None:
        self._events.release()  # held requests answer now
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # uvicorn names a narrower frame

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        loop = asyncio.get_running_loop()
        limit = loop.time() + COURTESY_S
        while not self.force_exit:
            # Each time anew: one that was accepted in the last moment comes to be known only now.
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedHead):
                    connection.leave()
            await asyncio.sleep(_LOOK_S)
            if not self.server_state.connections or loop.time() > limit:
                break
        await super().shutdown(sockets)
