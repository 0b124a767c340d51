"""A real gateway on a real Redis, and a hand that does a worker's part through the ledger: what it "read" is decided by the test."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from tests.documents import raw_png
from tests.running_farm import free_port

from ocrfarm_shared.contracts import Line, Page
from ocrfarm_shared.errors import OcrFarmError
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.profiles import profiles
from ocrfarm_shared.queue import queue_name
from ocrfarm_shared.settings import Settings, read_settings

MODEL = "hand"


def png(seed: int, width: int = 8, height: int = 4) -> bytes:
    """A small grey PNG; another seed, another picture."""
    rows = b"".join(b"\0" + bytes((seed >> 8 * (x % 4)) & 255 for x in range(width)) for _ in range(height))
    return raw_png(width, height, [rows])


PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def page(number: int, text: str) -> Page:
    lines = [
        Line(text=row, confidence=0.9, polygon=[(0, 0), (9, 0), (9, 9), (0, 9)], model=MODEL)
        for row in text.split("\n")
    ]
    return Page(number=number, width=8, height=4, lines=lines, models=[MODEL])


class Gateway:
    """`ocrfarm api` in a process of its own; it can be killed and started again on the same port."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.model_copy(update={"port": free_port()})
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self.log = settings.state / "api.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.settings.state.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ocrfarm", "api"], env=self.settings.child_environment(), stdout=log, stderr=log
            )
        ends = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{self.url}/livez", trust_env=False)
                return
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text("utf8")
                assert time.monotonic() < ends, "the gateway does not answer"
                time.sleep(0.05)

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Hand:
    """Does a worker's part, one unit at a time, through the real ledger."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger.open(settings)
        self.process = "hand:1"
        self.ledger(calls.heartbeat(self.process, {"node": "hand", "version": "1"}, lease_s=600))

    def take(self, seconds: float = 10) -> ClaimedUnit:
        """The next unit of any profile."""
        queues = [queue_name(self.settings.namespace, name) for name in profiles()]
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for queue in queues:
                if (raw := self.ledger.redis.rpop(queue)) is not None:
                    unit = json.loads(json.loads(raw)["body"])[0][0]
                    got = self.ledger(calls.claim(unit, owner="hand", node="hand", lease_s=600))
                    if isinstance(got, ClaimedUnit):
                        return got
            time.sleep(0.01)
        raise TimeoutError("nothing was published")

    def read(self, text: str) -> int:
        """Take the next page and read that text from it; the page's number."""
        unit = self.take()
        assert unit.kind == "page"
        assert self.ledger(calls.finish_page(unit.unit, unit.token, page(unit.number, text)))
        return unit.number

    def count(self, pages: int) -> None:
        """Take the next unit, which must be a plan, and find that many pages."""
        unit = self.take()
        assert unit.kind == "plan"
        assert self.ledger(calls.finish_plan(unit.unit, unit.token, list(range(1, pages + 1)), pages))

    def fail(self, error: OcrFarmError) -> None:
        unit = self.take()
        self.ledger(calls.fail(unit.unit, error, token=unit.token, max_attempts=1))

    def later(self, seconds: float, text: str) -> threading.Thread:
        """Read the next page after a while, in the background."""

        def work() -> None:
            time.sleep(seconds)
            self.read(text)

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def close(self) -> None:
        self.ledger.close()


@pytest.fixture(scope="session")
def session_gateway(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    state = tmp_path_factory.mktemp("client") / "state"
    made = Gateway(read_settings({}, state=state, redis_url=redis_url, namespace=f"c{secrets.token_hex(6)}"))
    yield made
    made.kill()


@pytest.fixture
def gateway(session_gateway: Gateway) -> Iterator[Gateway]:
    """One gateway for all tests of the client, with an empty ledger for each."""
    if session_gateway.process is None or session_gateway.process.poll() is not None:
        session_gateway.start()
    yield session_gateway
    with redis.Redis.from_url(session_gateway.settings.broker_url) as connection:
        for key in connection.scan_iter(f"{session_gateway.settings.namespace}:*", count=1000):
            connection.delete(key)


@pytest.fixture
def hand(gateway: Gateway) -> Iterator[Hand]:
    made = Hand(gateway.settings)
    yield made
    made.close()


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    file = tmp_path / "letter.png"
    file.write_bytes(png(7))
    return file


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
