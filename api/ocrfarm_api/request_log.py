"""Each request has an id: it stands in every log line about it, and in the answer, so that who was answered badly can name it.

A caller may bring the id of his own (`X-Request-ID`), and a proxy's goes on. Requests that change something are logged, with the ids of the
job or batch that they were about; reading alone is not (at the level DEBUG it is), and probes would drown all else.
"""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocrfarm_shared.telemetry import log_context, note

log = logging.getLogger(__name__)

HEADER = b"x-request-id"
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_READING = ("GET", "HEAD", "OPTIONS")
_NAMED = {"job_id": "job", "batch_id": "batch"}


class RequestLog:
    """The outermost layer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        brought = next((value for name, value in scope["headers"] if name == HEADER), b"")
        own = brought if _ID.fullmatch(brought) else secrets.token_hex(8).encode()
        status, begun = 0, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, own)]
            await send(message)

        with log_context(request=own.decode()):
            try:
                await self._app(scope, receive, sending)
            finally:
                self._tell(scope, status, time.perf_counter() - begun)

    @staticmethod
    def _tell(scope: Scope, status: int, seconds: float) -> None:
        level = logging.WARNING if status >= 500 else logging.DEBUG if scope["method"] in _READING else logging.INFO
        if not log.isEnabledFor(level) or (status == 503 and scope["method"] in _READING):
            return
        found = scope.get("path_params") or {}
        note(**{told: str(found[name])[:64] for name, told in _NAMED.items() if name in found})
        route = getattr(scope.get("route"), "path", None) or scope["path"][:200]
        log.log(level, "%s %s: %d in %.0f ms", scope["method"], route, status, seconds * 1000)
