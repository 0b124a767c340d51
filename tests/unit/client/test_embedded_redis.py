"""The embedded Redis with real redis-server processes."""

from __future__ import annotations

import platform
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from tests.conftest import redis_server_program
from tests.running_farm import free_port

from ocrfarm.farm import CannotStart
from ocrfarm.farm.children import Child, Program
from ocrfarm.farm.embedded_redis import EmbeddedRedis, Server, find_server, version_of

pytestmark = pytest.mark.farm


@pytest.fixture
def server() -> Server:
    path = Path(redis_server_program())
    version = version_of(path)
    assert version
    return Server(path, version)


@contextmanager
def running(embedded: EmbeddedRedis) -> Iterator[Child]:
    child = Child(Program("redis", embedded.argv, {}), embedded.folder / "redis.log")
    child.start()
    try:
        embedded.wait(child)
        yield child
    finally:
        child.end()


def admin(embedded: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url((embedded.folder / "url").read_text("ascii"))


def fake(folder: Path, version: str) -> Path:
    """A program that only tells a version, as an older Debian's would."""
    folder.mkdir(exist_ok=True)
    program = folder / "redis-server"
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0 malloc=libc bits=64 build=0'\n")
    program.chmod(0o755)
    return program


def test_the_newest_on_the_path_is_taken(tmp_path: Path) -> None:
    for version in ("6.0.16", "7.0.15", "6.2.14"):
        fake(tmp_path / version, version)
    (tmp_path / "empty").mkdir()
    found = find_server([str(tmp_path / name) for name in ("6.0.16", "empty", "6.2.14", "7.0.15")])
    assert found == Server(tmp_path / "7.0.15" / "redis-server", (7, 0, 15))


def test_the_carried_one_is_taken_where_the_path_has_none_new_enough(tmp_path: Path) -> None:
    old, carried = fake(tmp_path / "old", "6.0.16"), fake(tmp_path / "carried", "6.2.14")
    assert find_server([str(old.parent)], carried).path == carried


def test_without_any_it_says_what_to_install(tmp_path: Path) -> None:
    fake(tmp_path / "old", "5.0.3")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "redis-server").write_text("no program")
    with pytest.raises(CannotStart, match="apt-get install redis-server") as caught:
        find_server([str(tmp_path / "old"), str(broken)], broken / "redis-server")
    assert "5.0.3, too old" in str(caught.value)
    assert platform.machine() in str(caught.value)


def test_it_keeps_what_was_written_through_sigterm_and_sigkill(tmp_path: Path, server: Server) -> None:
    embedded = EmbeddedRedis.prepare(server, tmp_path / "redis", free_port(), 64)
    for end in (signal.SIGTERM, signal.SIGKILL):
        with running(embedded) as child, admin(embedded) as connection:
            connection.incr("count")
            assert child.process
            child.process.send_signal(end)
            child.process.wait(10)
    again = EmbeddedRedis.prepare(server, tmp_path / "redis", free_port(), 64)
    assert again.passwords == embedded.passwords
    with running(again), admin(again) as connection:
        assert connection.get("count") == b"2"


def test_only_loopback_with_the_password_and_never_evicting(tmp_path: Path, server: Server) -> None:
    embedded = EmbeddedRedis.prepare(server, tmp_path / 'odd "name" ä', free_port(), 8)
    with running(embedded):
        with redis.Redis(port=embedded.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis.from_url((embedded.folder / "url").read_text()) as connection:
            told = connection.config_get("*")
            assert (told["bind"], told["appendonly"], told["appendfsync"]) == ("127.0.0.1", "yes", "everysec")
            assert (told["maxmemory"], told["maxmemory-policy"]) == (str(8 << 20), "noeviction")
            stored = 0
            with suppress(redis.exceptions.OutOfMemoryError):
                for stored in range(100):
                    connection.set(f"k{stored}", b"x" * 1_000_000)
            assert 3 <= stored < 20  # it said no
            assert connection.dbsize() == stored  # and dropped nothing
    for name in ("passwords", "url", "users.acl", "redis.conf"):
        assert stat.S_IMODE((embedded.folder / name).stat().st_mode) == 0o600
    for password in embedded.passwords.values():
        assert password not in " ".join(embedded.argv)
        assert password not in (embedded.folder / "users.acl").read_text("ascii")


def test_data_of_a_newer_redis_is_not_left_unread(tmp_path: Path, server: Server) -> None:
    EmbeddedRedis.prepare(Server(server.path, (99, 0, 0)), tmp_path / "redis", 1, 64)
    with pytest.raises(CannotStart, match="written by Redis 99"):
        EmbeddedRedis.prepare(server, tmp_path / "redis", 1, 64)


def test_one_that_cannot_start_says_why_at_once(tmp_path: Path, server: Server) -> None:
    embedded = EmbeddedRedis.prepare(server, tmp_path / "redis", free_port(), 64)
    (tmp_path / "redis" / "appendonly.aof").write_text("not an append-only file\n")
    (tmp_path / "redis" / "appendonlydir").write_text("nor a folder")
    started = time.monotonic()
    with pytest.raises(CannotStart, match="Redis does not start"), running(embedded):
        pass
    assert time.monotonic() - started < 20


def test_version_of_what_is_no_redis() -> None:
    assert version_of(Path("/bin/true")) is None
    assert version_of(Path("/no/such/program")) is None


def test_it_listens_for_nodes_where_it_is_told_to(server: Server, tmp_path: Path) -> None:
    """At that address too, with the worker's password and no more than that opens; and nowhere else."""
    port = free_port()
    alone = EmbeddedRedis.prepare(server, tmp_path / "alone", port, 64)
    assert alone.node_url is None
    embedded = EmbeddedRedis.prepare(server, tmp_path / "redis", port, 64, host="127.0.0.2")
    assert embedded.node_url == f"redis://worker:{embedded.passwords['worker']}@127.0.0.2:{port}/0"
    assert EmbeddedRedis.prepare(server, tmp_path / "six", port, 64, host="fd00::1").node_url.endswith(
        f"@[fd00::1]:{port}/0"
    )
    with running(embedded), redis.Redis.from_url(embedded.node_url) as node:
        assert node.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            node.get("of:key:abc")
        with redis.Redis(host="127.0.0.2", port=port) as stranger, pytest.raises(redis.exceptions.RedisError):
            stranger.get("of:key:abc")
        with redis.Redis(host="127.0.0.3", port=port) as elsewhere, pytest.raises(redis.exceptions.ConnectionError):
            elsewhere.ping()
