"""Answers that are so large that a gateway can hold few of them at a time.

A document of a thousand pages is 50 MB of JSON, and it lies in memory until its caller has taken it. Fifty callers who take their time
would be gigabytes: so each large answer has a place, of which there are few, and keeps it to its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ocrfarm_api.callers import Caller
from ocrfarm_api.deps import Farm

LARGE_PAGES = 100  # from so many on
_PIECE = 64 * 1024  # what the transport holds at once


class LargeAnswer(Response):
    """`make` gives the body, once there is a place for it. Raises FarmFull and OverQuota where there is none, and what `make` raises."""

    def __init__(
        self,
        farm: Farm,
        caller: Caller,
        make: Callable[[], Awaitable[bytes]],
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        self._farm, self._caller, self._make = farm, caller, make

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        with self._farm.large.one_more(self._caller.tenant, keyed=self._caller.key_id is not None):
            body = memoryview(await self._make())
            self.headers["content-length"] = str(len(body))
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            for at in range(0, len(body), _PIECE):  # each waits until the one before is mostly gone
                await send({"type": "http.response.body", "body": bytes(body[at : at + _PIECE]), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class LargeStream(StreamingResponse):
    """The same for what is made while it is sent, a document at a time."""

    def __init__(
        self, farm: Farm, caller: Caller, pieces: AsyncIterator[bytes], headers: Mapping[str, str], media_type: str
    ) -> None:
        super().__init__(pieces, 200, headers, media_type)
        self._farm, self._caller = farm, caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._farm.large.one_more(self._caller.tenant, keyed=self._caller.key_id is not None):
            await super().__call__(scope, receive, send)
