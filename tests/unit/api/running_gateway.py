"""A gateway as it runs: uvicorn on a free port, a real Redis behind it, and hands that do what a worker does to the ledger."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import threading
import time
from typing import Any

import httpx
import uvicorn

from ocrfarm_api.main import create_app
from ocrfarm_api.wire import BoundedHead
from ocrfarm_shared.contracts import Line, Page
from ocrfarm_shared.errors import OcrFarmError
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.settings import Settings

PNG = b"\x89PNG\r\n\x1a\n"
PDF = b"%PDF-1.7\n"


def png(tail: bytes | None = None) -> bytes:
    """Bytes that begin as a PNG does, no two alike unless `tail` says so: the gateway looks no further."""
    return PNG + (tail if tail is not None else os.urandom(24))


class Gateway:
    """One gateway on one namespace. `url` is its address, `http` a client of it, `ledger` the same ledger seen from beside."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.listening = socket.create_server((settings.host, 0))
        self.port: int = self.listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.app = create_app(settings)
        self.server = uvicorn.Server(
            uvicorn.Config(self.app, loop="uvloop", http=BoundedHead, ws="none", log_config=None, access_log=False)
        )
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self.ledger = Ledger.open(settings)

    def start(self) -> Gateway:
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        self.app.state.farm.events.release()
        self.http.close()
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()
        with contextlib.suppress(Exception):
            self.ledger.close()

    def submit(
        self, document: bytes | None = None, name: str = "a.png", wait: float = 0, **fields: str
    ) -> httpx.Response:
        return self.http.post(
            "/v1/jobs",
            files={"file": (name, png() if document is None else document)},
            data=fields,
            params={"wait": wait} if wait else {},
        )

    # ------------------------------------------------------------------ what a worker does
    def claim(self) -> ClaimedUnit:
        """Take the next published unit off its queue, as Celery delivers it."""
        for queue in (f"{self.settings.namespace}:q:balanced", f"{self.settings.namespace}:q:accurate"):
            message = self.ledger.redis.rpop(queue)
            if isinstance(message, bytes):
                unit = json.loads(json.loads(message)["body"])[0][0]
                claimed = self.ledger(calls.claim(unit, owner="task", node="node", process="node:7", lease_s=15))
                assert not isinstance(claimed, str), claimed
                return claimed
        raise AssertionError("nothing is published")

    def read(self, text: str = "hello") -> ClaimedUnit:
        """Claim the next page and finish it with one line of text."""
        unit = self.claim()
        assert self.ledger(calls.finish_page(unit.unit, unit.token, a_page(unit.number, text)))
        return unit

    def fail(self, error: OcrFarmError, attempts: int = 1) -> None:
        unit = self.claim()
        self.ledger(calls.fail(unit.unit, error, max_attempts=attempts, token=unit.token))

    def hire(self, process: str = "node:1", **info: Any) -> None:
        """A worker process says that it lives."""
        said = {"node": "node", "version": "1", "profiles": ["balanced"], "reading": None} | info
        self.ledger(calls.heartbeat(process, said, lease_s=15))


def a_page(number: int, text: str) -> Page:
    line = Line(text=text, confidence=0.9, polygon=[(0, 0), (9, 0), (9, 9), (0, 9)], model="m")
    return Page(number=number, width=10, height=10, lines=[line], models=["m"], timings_ms={"detect": 1.5})


def as_json(document: bytes, **members: Any) -> dict[str, Any]:
    return {"base64": base64.b64encode(document).decode(), **members}
