"""A node's cache of uploads: fetched once whoever asks, never over its size; nothing removed under a reader, nothing damaged kept."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrfarm_shared.errors import NodeDiskFull
from ocrfarm_worker.joined.cache import Cache, Damaged


def content(n: int, size: int = 1000) -> bytes:
    return bytes([n]) * size


def name(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def writes(body: bytes) -> Callable[[Path], None]:
    return lambda into: into.write_bytes(body) and None


def nothing(_: Path) -> None:
    raise AssertionError("it was to be there already")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "uploads", 3500)
    made.prepare()
    return made


def kept(cache: Cache) -> set[str]:
    return {path.name for path in cache.folder.glob("??/*")}


def test_fetched_once(cache: Cache) -> None:
    body = content(1)
    with cache.held(name(body), writes(body)) as path:
        assert path.read_bytes() == body
    with cache.held(name(body), nothing) as path:
        assert path.read_bytes() == body
    assert list(cache.coming.iterdir()) == []


def _ask(folder: Path, body: bytes, begin: float) -> None:
    def fetch(into: Path) -> None:
        with (folder / "fetched").open("a") as told:
            told.write("x")
        time.sleep(0.3)
        into.write_bytes(body)

    while time.time() < begin:
        pass
    with Cache(folder / "uploads", 10_000).held(name(body), fetch) as path:
        assert path.read_bytes() == body


def test_processes_that_ask_at_once_fetch_once(tmp_path: Path, cache: Cache) -> None:
    body, begin = content(7), time.time() + 0.5
    fork = multiprocessing.get_context("fork")
    asking = [fork.Process(target=_ask, args=(tmp_path, body, begin)) for _ in range(6)]
    for process in asking:
        process.start()
    for process in asking:
        process.join(30)
    assert [process.exitcode for process in asking] == [0] * 6
    assert (tmp_path / "fetched").read_text() == "x"
    assert list(cache.coming.iterdir()) == []


def test_what_was_not_used_for_longest_goes(cache: Cache) -> None:
    bodies = [content(n) for n in range(4)]
    for body in bodies[:3]:
        with cache.held(name(body), writes(body)):
            pass
        time.sleep(0.01)
    with cache.held(name(bodies[0]), nothing):  # used again
        time.sleep(0.01)
    with cache.held(name(bodies[3]), writes(bodies[3])):
        pass
    assert kept(cache) == {name(bodies[n]) for n in (0, 2, 3)}


def test_what_is_being_read_stays(cache: Cache) -> None:
    bodies = [content(n) for n in range(6)]
    with cache.held(name(bodies[0]), writes(bodies[0])) as path:
        for body in bodies[1:]:
            with cache.held(name(body), writes(body)):
                pass
        assert path.read_bytes() == bodies[0]
    assert len(kept(cache)) == 3
    assert name(bodies[0]) in kept(cache)


def test_one_that_is_damaged_is_not_kept(cache: Cache) -> None:
    body = content(1)
    with pytest.raises(Damaged), cache.held(name(body), writes(body[:-1])):
        pass
    assert kept(cache) == set()
    with cache.held(name(body), writes(body)) as path:
        assert path.read_bytes() == body


def test_one_that_broke_off_is_gone_on_with(cache: Cache) -> None:
    body = content(1)

    def breaks(into: Path) -> None:
        into.write_bytes(body[:400])
        raise ConnectionError

    def goes_on(into: Path) -> None:
        assert into.stat().st_size == 400
        with into.open("ab") as file:
            file.write(body[400:])

    with pytest.raises(ConnectionError), cache.held(name(body), breaks):
        pass
    with cache.held(name(body), goes_on) as path:
        assert path.read_bytes() == body


def _fills(room: Path) -> Callable[[bytes], Callable[[Path], None]]:
    """Writers to a disk that has room for two files: the kernel's own limit is a file system's, which only root could make small."""

    def writer(body: bytes) -> Callable[[Path], None]:
        def write(into: Path) -> None:
            into.write_bytes(body[:10])
            if len(list(room.glob("??/*"))) >= 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            into.write_bytes(body)

        return write

    return writer


def test_a_full_disk_drops_what_nobody_reads_and_else_is_a_clear_error(cache: Cache) -> None:
    writer = _fills(cache.folder)
    bodies = [content(n) for n in range(4)]
    for body in bodies[:3]:
        with cache.held(name(body), writer(body)):
            pass
    assert kept(cache) == {name(bodies[2])}  # the other two made room
    with cache.held(name(bodies[2]), nothing), cache.held(name(bodies[3]), writer(bodies[3])):
        with (
            pytest.raises(NodeDiskFull, match="OCRFARM_NODE_CACHE_MB"),
            cache.held(name(content(9)), writer(content(9))),
        ):
            pass
        assert list(cache.coming.iterdir()) == []  # half a file would keep the disk full


def test_what_nobody_went_on_with_goes_after_a_day(cache: Cache) -> None:
    old, young = cache.coming / "old", cache.coming / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    cache.prepare()
    assert list(cache.coming.iterdir()) == [young]
