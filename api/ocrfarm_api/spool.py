"""An upload on its way to the disk: hashed while it is written, a megabyte at a time, off the event loop."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from ocrfarm_api.kinds import HEAD_BYTES
from ocrfarm_shared.errors import TooLarge

# What one upload holds in memory at most. Each time it is full costs a change of threads, which a busy machine makes one wait for.
BUFFER_BYTES = 1024 * 1024
# What all uploads of this process hold together. Beyond, each is written as it comes: four thousand callers who send nearly a megabyte and
# then a byte now and then would hold gigabytes.
MOST_HELD_BYTES = 64 * 1024 * 1024


def keep_room(file: int, least_free: int) -> None:
    """After each write to `file`. The guard before an upload does not know what others are just sending: fifty of 2 GB fill a disk
    together, and Redis' file may lie on it. Raises OSError, as a full disk does, where less than `least_free` bytes are left."""
    disk = os.fstatvfs(file)
    if disk.f_bavail * disk.f_frsize < least_free:
        raise OSError(errno.ENOSPC, "what is left of the disk is kept for what was accepted")


class Held:
    """Bytes that wait to be written, of all spools; they are counted in several threads."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.bytes += count


HELD = Held()


class Spool:
    """A temporary file that is being written. `feed` takes bytes at once, `flush` brings them to the disk.

    Raises TooLarge out of `feed` as soon as more than `limit` bytes came, and OSError out of `flush` and `close` (a full disk, or one with
    less than `least_free` bytes left).
    """

    def __init__(self, folder: Path, threads: Executor, limit: int, least_free: int = 0) -> None:
        self.path = folder / secrets.token_hex(16)
        self.size = 0
        self.head = b""
        self._threads = threads
        self._limit = limit
        self._least_free = least_free
        self._waiting: list[bytes | memoryview] = []
        self._waiting_bytes = 0
        self._held = HELD
        self._hash = hashlib.sha256()
        self._file: int | None = None

    def feed(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise TooLarge(
                f"The upload is larger than the {self._limit / 1e6:g} MB that this farm takes; split it or scale it down."
            )
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._held.add(len(data))

    async def flush(self) -> None:
        """Write what was fed, if it is enough to be worth it."""
        if self._waiting_bytes >= BUFFER_BYTES or (self._waiting and self._held.bytes > MOST_HELD_BYTES):
            await self._run(self._write)

    async def close(self) -> str:
        """Write the rest; the sha256 of everything, 64 hexadecimal digits."""
        await self._run(self._finish)
        return self._hash.hexdigest()

    def forget(self) -> None:
        """Let go of what waits to be written: it is not wanted any more."""
        self._take()

    def _take(self) -> list[bytes | memoryview]:
        """What waits, which is this spool's no more."""
        waiting, self._waiting = self._waiting, []
        self._held.add(-self._waiting_bytes)
        self._waiting_bytes = 0
        return waiting

    async def discard(self) -> None:
        """Remove the file, if it is still where it was written."""
        self._take()
        if self._file is not None or self.path.exists():  # one look, not worth a change of threads
            await self._run(self._remove)

    async def _run(self, call: Callable[[], None]) -> None:
        # Shielded: a request that is cancelled must not close or remove the file while a thread still writes it.
        work = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    def _write(self) -> None:
        if self._file is None:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        for data in self._take():
            self._hash.update(data)  # both let go of the interpreter lock
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        keep_room(self._file, self._least_free)

    def _finish(self) -> None:
        self._write()
        self._close()

    def _remove(self) -> None:
        self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
