"""One decoding process, as the worker sees it: started, asked, watched, ended. Which document is asked of which one is `parent.py`'s."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ocrfarm_shared.errors import (
    BY_CODE,
    DecodeCrashed,
    DecodeTimeout,
    DocumentError,
    Internal,
    OcrFarmError,
    OutOfMemory,
    Timeout,
    WorkerLost,
)
from ocrfarm_shared.settings import Settings
from ocrfarm_worker.decoding import wire
from ocrfarm_worker.document import LoadedPage

log = logging.getLogger(__name__)

START_S = 60.0
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@dataclass(frozen=True)
class Caps:
    """What one child may use: address space, processor seconds a document, documents until it is replaced, MB at rest. 0: no limit."""

    memory_mb: int = 2500
    cpu_s: int = 60
    documents: int = 1000
    resting_mb: int = 250

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            memory_mb=settings.decode_memory_mb, cpu_s=settings.decode_cpu_s, documents=settings.decode_max_documents
        )

    @property
    def wall_s(self) -> float | None:
        """When a child that does not use its processor time up (stopped, swapped out, a node with far too much to do) is given up."""
        return 60.0 + 4.0 * self.cpu_s if self.cpu_s else None


class Child:
    """One decoding process. Raises Internal where it cannot be started. `binds`: it makes searchable PDFs too, and is larger for it."""

    def __init__(self, caps: Caps, *, binds: bool = False) -> None:
        self.caps = caps
        self.served = 0
        self.locks: tuple[str, ...] = ()
        self._ready = False
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = [str(n) for n in (theirs.fileno(), os.getpid(), caps.memory_mb, caps.cpu_s, int(binds))]
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "ocrfarm_worker.decoding.child", *arguments],
                # Nothing of this process's environment: the farm's credentials are in it.
                env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "SILENT"},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd="/",
                start_new_session=True,  # a Ctrl-C is for the farm, which ends this one in its turn
            )  # fmt: skip
        except OSError as err:
            self._link.close()
            log.error("the decoding process cannot be started: %s", err)
            raise Internal from err
        finally:
            theirs.close()

    def await_ready(self) -> None:
        if self._ready:
            return
        self._link.settimeout(START_S)
        try:
            heard = wire.receive(self._link)
        except (TimeoutError, wire.Garbled, OSError) as err:
            raise self._not_started() from err
        if heard is None or heard[1] is not None or not isinstance(heard[0].get("ready"), list):
            raise self._not_started()
        self.locks = tuple(str(name) for name in heard[0]["ready"])
        open_paths = "" if "landlock" in self.locks else "; without Landlock it may open what its user may"
        log.log(
            logging.WARNING if open_paths else logging.INFO,
            "the decoding process is held in by: %s%s", ", ".join(self.locks), open_paths,
        )  # fmt: skip
        self._link.settimeout(self.caps.wall_s)
        self._ready = True

    def _not_started(self) -> Internal:
        self.end()
        log.error("the decoding process did not start; it ended with %s", self.process.returncode)
        return Internal()

    def ask(self, document: int, request: dict[str, Any]) -> Any:
        """(kind, pages) or a LoadedPage. The caller kills this child after any error but an ordinary DocumentError."""
        with self._trouble():
            number = self._say(document, request)
            message = self._hear(number)
            if request["do"] == "count":
                return _counted(message)
            height, width = _size(message, request["pixels"])
            memory = self._lend(number, height * width * 3)
            message = self._done(number)
            image = np.frombuffer(memory, np.uint8).reshape(height, width, 3)
            return LoadedPage(image, request["dpi"] if message.get("drawn") is True else None)

    def bind(self, document: int, request: dict[str, Any], text: bytes, most: int) -> mmap.mmap:
        """A searchable PDF of the document and its `text` (binding.py), `most` bytes at most. The caller kills this child afterwards."""
        with self._trouble():
            number = self._say(document, request)
            if self._hear(number).get("text") is not True:
                raise wire.Garbled("no question for the text")
            self._give(number, text)
            size = self._hear(number).get("size")
            if not isinstance(size, int) or not 1 <= size <= most:
                raise wire.Garbled("no size of a file")
            memory = self._lend(number, size)
            self._done(number)
            return memory

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        """What goes wrong with the other side, as an error of the unit."""
        try:
            yield
        except TimeoutError:
            raise Timeout from None
        except wire.Garbled as err:
            log.error("the decoding process talks nonsense: %s", err)
            raise Internal from err
        except (BrokenPipeError, ConnectionError):
            raise self._died() from None

    def _say(self, document: int, request: dict[str, Any]) -> int:
        """Ask; the number that its answers carry."""
        self.served += 1
        wire.send(self._link, {"id": self.served, **request}, document)
        return self.served

    def _hear(self, number: int) -> dict[str, Any]:
        """Its next message about that. Raises the error that it tells, and Garbled."""
        heard = wire.receive(self._link)
        if heard is None:
            raise self._died()
        message, fd = heard
        if fd is not None:
            os.close(fd)
            raise wire.Garbled("a descriptor from the child")
        if message.get("id") != number:
            raise wire.Garbled("an answer to another question")
        if "error" in message:
            raise _error(message)
        return message

    def _done(self, number: int) -> dict[str, Any]:
        message = self._hear(number)
        if message.get("done") is not True:
            raise wire.Garbled("no answer")
        return message

    def _give(self, number: int, data: bytes) -> None:
        """Bytes for it to read."""
        fd = os.memfd_create("text", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.seek(0)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_WRITE)
            wire.send(self._link, {"id": number}, fd)

    def _lend(self, number: int, size: int) -> mmap.mmap:
        """Memory of that many bytes, zeroed, sent to the child. Its size is sealed: cut short, it would kill who reads it."""
        fd = os.memfd_create("page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            memory = mmap.mmap(fd, size)
            wire.send(self._link, {"id": number}, fd)
            return memory
        except OSError as err:
            if err.errno == errno.ENOMEM:
                raise OutOfMemory from err
            raise
        finally:
            os.close(fd)

    def _died(self) -> OcrFarmError:
        """Why it is gone: by its own crash, its time, or somebody's hand."""
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:  # it closed its link and lives: it is not what we started
            return DecodeCrashed()
        log.warning("the decoding process ended with %s under a document", _said(status))
        if status == -signal.SIGXCPU:
            return DecodeTimeout()
        if status in (-signal.SIGKILL, -signal.SIGTERM):  # the kernel's out-of-memory killer, an operator
            return WorkerLost()
        return DecodeCrashed()

    def processor_s(self) -> float:
        """Processor seconds that it has used since it was started (proc(5), stat); 0 once it has ended."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError):
            return 0.0

    def resident_mb(self) -> int:
        """What it holds in memory now; 0 once it has ended."""
        try:
            with Path(f"/proc/{self.process.pid}/statm").open() as file:
                return int(file.read().split()[1]) * resource.getpagesize() >> 20
        except (OSError, IndexError):
            return 0

    def end(self) -> None:
        """Kill it and forget it; it holds nothing that could be lost."""
        self._link.close()
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)


def _counted(message: dict[str, Any]) -> tuple[str, int]:
    kind, pages = message.get("kind"), message.get("pages")
    if kind not in ("image", "tiff", "pdf") or not isinstance(pages, int) or not 1 <= pages <= 2**31:
        raise wire.Garbled("no count of pages")
    return kind, pages


def _size(message: dict[str, Any], most: int) -> tuple[int, int]:
    """Height and width; a rendered page may be a row and a column larger than its measure."""
    height, width = message.get("height"), message.get("width")
    if not isinstance(height, int) or not isinstance(width, int) or height < 1 or width < 1:
        raise wire.Garbled("no size of a page")
    if height * width > most + height + width + 1:
        raise wire.Garbled("a page larger than allowed")
    return height, width


def _error(message: dict[str, Any]) -> OcrFarmError:
    """The document's error that the child names; any other is ours, and goes to the log."""
    code, said = message["error"], message.get("message")
    error = BY_CODE.get(code) if isinstance(code, str) else None
    if error is None or not issubclass(error, DocumentError) or not isinstance(said, str):
        # As a traceback and not in the sentence: a dead letter shows that to its tenant, and tracebacks to admins alone.
        log.error("decoding failed for a reason that we do not know", extra={"traceback": said})
        return Internal()
    return error(said or None)


def _said(status: int) -> str:
    try:
        return signal.Signals(-status).name if status < 0 else f"exit code {status}"
    except ValueError:
        return f"signal {-status}"
