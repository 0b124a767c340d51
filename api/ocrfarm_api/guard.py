"""Who may speak to a gateway without keys, and the headers that every answer carries.

Any page in a browser on this machine can send requests to 127.0.0.1. Two checks keep them out: the Host header must name this machine
(a foreign name that resolves to 127.0.0.1 is DNS rebinding), and what changes something must not come from another origin.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocrfarm_api.problems import problem
from ocrfarm_shared.errors import Forbidden, RequestError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
# What a Host header may hold (RFC 9110, 7.2; RFC 3986, 3.2.2), and no more: parsers of whole URLs also take `user@` before it and `/path`
# behind it, and find a name that the sender chose.
_AUTHORITY = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'",
}


def _name(authority: str) -> str:
    """The host of `name:port` or `[::1]:port`, in small letters; an empty text for what is neither."""
    match = _AUTHORITY.fullmatch(authority)
    return (match["address"] or match["name"]).lower() if match else ""


class Guard:
    """`loopback`: bound to this machine alone, so that the Host header is checked too. `names`: further names of this farm, those of a
    proxy in front of it: allowed as Host, and as Origin (a proxy may have put the farm's own address in the Host header)."""

    def __init__(self, app: ASGIApp, *, loopback: bool, names: Collection[str] = ()) -> None:
        self._app = app
        self._loopback = loopback
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await problem(refusal, scope["path"])(scope, receive, sending)
            return
        await self._app(scope, receive, sending)

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers = Headers(scope=scope)
        host, *others = headers.getlist("host") or [""]
        if others or (host and not _name(host)):  # RFC 9112, 3.2
            return RequestError("A request has one Host header, a name or address with or without a port; send it so.")
        if self._loopback and _name(host) not in self._names.union(LOOPBACK_NAMES):
            return Forbidden(
                f"This farm does not answer to {host[:100]!r}; ask http://127.0.0.1, or name it in OCRFARM_SERVER_NAMES."
            )
        origin = headers.get("origin")
        if scope["method"] not in _SAFE and origin is not None and not self._own(origin, host):
            return Forbidden(f"The page at {origin[:100]!r} may not change anything here; open the farm's own page.")
        return None

    def _own(self, origin: str, host: str) -> bool:
        scheme, sign, authority = origin.partition("://")
        if scheme not in ("http", "https") or not sign or not _name(authority):
            return False
        return authority.lower() == host.lower() or _name(authority) in self._names
