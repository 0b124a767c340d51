"""Every error as application/problem+json (RFC 9457), with a stable code and a sentence that says what to do."""

from __future__ import annotations

import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocrfarm_shared.contracts import Failure, Problem
from ocrfarm_shared.errors import (
    BadOption,
    FarmUnavailable,
    Internal,
    MethodNotAllowed,
    NotFound,
    OcrFarmError,
    RequestError,
    TooLarge,
)

log = logging.getLogger(__name__)

STORE_RETRY_S = 2.0
# Redis is away, or there and takes no writes for now: memory full, disk full, a replica. In a script's answer the code is in the text.
_AWAY = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError)
_BUSY = ("OOM ", "MISCONF", "READONLY", "BUSY ", "NOREPLICAS")


def problem(
    error: OcrFarmError,
    instance: str | None = None,
    *,
    because: Failure | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """`because`: the job's own failure, where that is why there is nothing to give."""
    body = Problem(
        title=error.title,
        status=error.status,
        detail=str(error).encode("utf8", "replace").decode(),  # half a surrogate pair, out of a JSON escape, is no text
        code=error.code,
        retryable=error.retryable,
        instance=instance,
        error=because,
    )
    sent = dict(headers or {})
    if error.status == 401:
        sent["WWW-Authenticate"] = 'Bearer realm="ocrfarm"'  # RFC 9110, 11.6.1
    if error.retry_after is not None:
        sent["Retry-After"] = f"{max(1, math.ceil(error.retry_after))}"  # who comes a moment too early is refused again
    return Response(body.model_dump_json(exclude_none=True), error.status, sent, media_type="application/problem+json")


def of_redis(error: RedisError) -> OcrFarmError:
    """The farm is unavailable, or (a script that cannot run) it is our own mistake."""
    text = str(error)
    if isinstance(error, _AWAY) or any(code in text for code in _BUSY):
        return FarmUnavailable(retry_after=STORE_RETRY_S)
    return Internal()


def _of_http(error: HTTPException) -> OcrFarmError:
    if error.status_code == 404:
        return NotFound("There is no such address here; see /docs.")
    if error.status_code == 405:
        return MethodNotAllowed()
    if error.status_code == 413:
        return TooLarge()
    if error.status_code < 500:
        return RequestError(str(error.detail))
    return Internal()


def of_validation(error: RequestValidationError) -> OcrFarmError:
    first: dict[str, Any] = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:]) or "body"
    return BadOption(f"`{name[:100]}` is not valid: {first['msg']}.")


def install(app: FastAPI) -> None:
    """Answer every error in this form. `Watch` (below) takes what nobody expected."""

    @app.exception_handler(OcrFarmError)
    async def _ours(request: Request, error: OcrFarmError) -> Response:
        return problem(error, request.url.path)

    @app.exception_handler(RedisError)
    async def _redis(request: Request, error: RedisError) -> Response:
        ours = of_redis(error)
        log.log(
            logging.WARNING if isinstance(ours, FarmUnavailable) else logging.ERROR,
            "Redis: %s: %s",
            type(error).__name__,
            error,
            exc_info=None if isinstance(ours, FarmUnavailable) else error,
        )
        return problem(ours, request.url.path)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return problem(_of_http(error), request.url.path, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        return problem(of_validation(error), request.url.path)

    @app.exception_handler(ClientDisconnect)
    async def _gone(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody is there to read it


class Watch:
    """Outside all but the request log: an error that nobody expected goes to the log whole, and out as a generic sentence."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if begun:
                raise  # half an answer went out: break the connection, so that it is not taken for a whole one
            await problem(Internal(), scope["path"])(scope, receive, send)
