"""What both clients give to httpx, and what they make of its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, BinaryIO

import httpx

from ocrfarm.calls import Call, Reply
from ocrfarm.flows import Broken
from ocrfarm_shared.errors import FarmUnavailable
from ocrfarm_shared.settings import read_settings

CONNECT_S = 5.0
ANSWER_S = 30.0


@dataclass(frozen=True)
class Address:
    """Where the farm is, and the key shown to it. Left out, both come from OCRFARM_URL (or host and port) and OCRFARM_API_KEY."""

    url: str
    api_key: str | None

    @classmethod
    def of(cls, url: str | None, api_key: str | None) -> Address:
        settings = read_settings(url=url, api_key=api_key)
        return cls(settings.farm_url.rstrip("/"), settings.api_key)

    def options(self) -> dict[str, Any]:
        headers = {"User-Agent": f"ocrfarm/{version('ocrfarm')}", "Accept": "application/json, */*"}
        if self.api_key:
            headers["X-API-Key"] = self.api_key
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            # A proxy set for the internet knows no way to this machine's loopback.
            "trust_env": httpx.URL(self.url).host not in ("127.0.0.1", "::1", "localhost"),
        }

    def lost(self, err: httpx.TransportError) -> FarmUnavailable:
        """A stream of results that broke off."""
        return FarmUnavailable(self.broken(err).why)

    def broken(self, err: httpx.TransportError) -> Broken:
        """A connection that was refused sent nothing; any other break may have come after the farm took the request."""
        unsent = isinstance(err, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        if isinstance(err, httpx.UnsupportedProtocol):
            why = f"{self.url!r} is no address of a farm; OCRFARM_URL and --url take one like http://127.0.0.1:8000."
        elif unsent:
            why = f"No farm answers at {self.url}; start one with `ocrfarm up`, or name another with OCRFARM_URL or OCRFARM_PORT."
        else:
            why = f"The connection to {self.url} broke ({type(err).__name__}); see whether the farm is up, and send it again."
        return Broken(why, sent=not unsent)


def request(call: Call[Any], bodies: Sequence[BinaryIO]) -> dict[str, Any]:
    """The keyword arguments of `httpx.Client.request`. The bodies are streamed from their files, never read as a whole."""
    arguments: dict[str, Any] = {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params),
        "headers": dict(call.headers),
        "timeout": httpx.Timeout(ANSWER_S + call.held_s, connect=CONNECT_S),
    }
    if call.upload is not None:
        arguments["files"] = {"file": (call.upload.name, bodies[0])}
        arguments["data"] = dict(call.fields or {})
    elif call.uploads:
        arguments["files"] = [
            part
            for named, body in zip(call.uploads, bodies, strict=True)
            for part in (("key", (None, named.key)), ("file", (named.upload.name, body)))
        ]
    elif call.json is not None:
        arguments["json"] = dict(call.json)
    return arguments


def reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)
