"""Uploads on a joined node's disk: fetched once a node, whoever of its processes asks, and dropped when others need the room.

A file is named by its content, so it is never old. Its last use is its time of modification. Locks are the kernel's (flock), which fall
with the process that holds them: who reads a file holds it shared, who removes one needs it alone, and one process at a time fetches it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ocrfarm_shared.errors import NodeDiskFull

log = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PIECE = 1024 * 1024
LEFT_S = 86400.0


class Damaged(Exception):
    """All of it came, and it is not what its name says."""


class Cache:
    """`most` is in bytes: what is kept when the next file comes. Files that are being read stay, however many they are."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self.most = most
        self.coming = folder / "coming"

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.coming.mkdir(exist_ok=True)
        for left in self.coming.glob("*"):  # of fetches that nobody went on with
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - LEFT_S:
                    left.unlink()

    @contextmanager
    def held(self, content: str, fetch: Callable[[Path], None]) -> Iterator[Path]:
        """The file of that sha256 (64 hexadecimal digits), fetched where it is not there: `fetch` writes it to the path that it is given,
        or goes on with what is there of it. It is not removed while the context is open.

        Raises what `fetch` does, Damaged, NodeDiskFull, and OSError.
        """
        while True:
            handle = self._take(content)
            if handle is None:
                self._bring(content, fetch)
                continue
            try:
                yield self._path(content)
            finally:
                os.close(handle)
            return

    def _path(self, content: str) -> Path:
        return self.folder / content[:2] / content

    def _take(self, content: str) -> int | None:
        """The file's handle, with a shared lock; None where it is not there."""
        path = self._path(content)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        fcntl.flock(handle, fcntl.LOCK_SH)
        if os.fstat(handle).st_nlink == 0:  # it was removed between the two
            os.close(handle)
            return None
        os.utime(handle)
        return handle

    def _bring(self, content: str, fetch: Callable[[Path], None]) -> None:
        """Fetch it, or wait until another process has."""
        lock = self.coming / f"{content}.lock"
        with self._alone(lock):
            try:
                if not self._path(content).exists():
                    self._bring_alone(content, fetch)
            finally:
                lock.unlink(missing_ok=True)

    def _bring_alone(self, content: str, fetch: Callable[[Path], None]) -> None:
        partial = self.coming / content
        try:
            fetch(partial)
        except OSError as err:
            if err.errno not in _FULL:
                raise
            partial.unlink(missing_ok=True)
            if not self._make_room(self.most):
                raise self._full(err) from None
            log.warning("the disk is full (%s): all uploads that nobody reads now were dropped", err)
            try:
                fetch(partial)
            except OSError as again:
                partial.unlink(missing_ok=True)
                if again.errno not in _FULL:
                    raise
                raise self._full(again) from None
        if _sha256(partial) != content:
            partial.unlink()
            raise Damaged(content)
        self._make_room(partial.stat().st_size)
        target = self._path(content)
        target.parent.mkdir(exist_ok=True)
        partial.replace(target)

    def _full(self, err: OSError) -> NodeDiskFull:
        log.error("the disk of %s takes no more (%s); free some, or lower OCRFARM_NODE_CACHE_MB", self.folder, err)
        return NodeDiskFull()

    @contextmanager
    def _alone(self, lock: Path) -> Iterator[None]:
        while True:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if os.fstat(handle).st_nlink == 0:  # whoever fetched it took the lock's file away
                    continue
                yield
                return
            finally:
                os.close(handle)

    def _make_room(self, needed: int) -> bool:
        """Remove files that nobody reads now, those first that were not used for longest, until `needed` bytes fit. Whether any went."""
        with self._alone(self.folder / "room.lock"):
            files = []
            for path in self.folder.glob("??/*"):
                with suppress(FileNotFoundError):
                    told = path.stat()
                    files.append((told.st_mtime_ns, told.st_size, path))
            total, removed = sum(size for _, size, _ in files), False
            for _, size, path in sorted(files):
                if total + needed <= self.most:
                    break
                if _remove(path):
                    total -= size
                    removed = True
            return removed


def _remove(path: Path) -> bool:
    """False where somebody reads it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
