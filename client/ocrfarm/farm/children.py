"""One program that the supervisor keeps alive: how it is started, when it is started again, how it is ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

TETHER = Path(__file__).with_name("tether.py")
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 5.0
STEADY_S = 30.0  # a child that lived that long starts again with the first delay
HURRIED_GRACE_S = 1.0
KILLED_WAIT_S = 5.0
LAST_WORDS_BYTES = 16 * 1024
MOST_LOG_BYTES = 20_000_000
OLD_LOGS = 3  # name.log.1 is the youngest


@dataclass(frozen=True)
class Program:
    """What to keep running. `prepare` is a program that must have ended well once before the first start of `argv`."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    prepare: Sequence[str] | None = None
    grace_s: float = 40.0
    sockets: Sequence[socket.socket] = ()
    """Listening sockets that it is given under the same file numbers."""


@dataclass
class Child:
    """A program and the process that runs it now, if one does. Processes are started from the main thread only (see tether.py)."""

    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    early_deaths: int = 0
    """Deaths since it last lived for 30 s."""
    prepared: bool = False
    due: float = 0.0
    """When it is to be started (monotonic clock)."""
    _delay_s: float = FIRST_DELAY_S
    _started: float = field(default=0.0)

    @property
    def preparing(self) -> bool:
        return self.program.prepare is not None and not self.prepared

    @property
    def argv(self) -> list[str]:
        return list(self.program.prepare if self.preparing and self.program.prepare else self.program.argv)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *self.argv],
                env=dict(self.program.env),
                cwd=self.log.parent,  # no stray configuration file of the folder where `ocrfarm up` was typed
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listening.fileno() for listening in self.program.sockets],
                process_group=0,  # Ctrl-C is the supervisor's; and what the child started can be ended with it
            )
        self._started = monotonic()

    def look(self) -> int | None:
        """None: all is well. Else the exit status of the process that has just ended (negative: the signal), and `due` is set.

        A preparation that ended well is no death: what it was for is due at once.
        """
        if self.process is None or (status := self.process.poll()) is None:
            return None
        lived = monotonic() - self._started
        self.kill_group()  # what it leaves behind must not work beside its successor
        self.process = None
        if self.preparing and status == 0:
            self.prepared, self.due = True, monotonic()
            return None
        if lived >= STEADY_S:
            self._delay_s, self.early_deaths = FIRST_DELAY_S, 0
        self.restarts += 1
        self.put_off()
        return status

    def put_off(self) -> None:
        """It ended, or could not be started: try again later, each time later, up to 5 s."""
        self.early_deaths += 1
        self.due = monotonic() + self._delay_s
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    def end(self, hurried: Callable[[], bool] = lambda: False) -> bool:
        """SIGTERM, then SIGKILL when its grace is over, or a second after it where one is hurried. Waits; true where it went by itself."""
        if self.process is None:
            return True
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        went, asked, grace = True, monotonic(), self.program.grace_s
        while went and self.process.poll() is None:
            went = monotonic() - asked < (min(HURRIED_GRACE_S, grace) if hurried() else grace)
            sleep(0.02)
        self.kill_group()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel: not ours to mend
            self.process.wait(KILLED_WAIT_S)
        self.process = None
        return went

    def kill_group(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def turn_log(self, most: int = MOST_LOG_BYTES) -> bool:
        """Set its log aside where it has grown over that many bytes; true where it did.

        The process goes on writing into the file that it was given, so that one is copied and emptied, not renamed (it appends: what it
        writes next begins at 0 again). A line or two written between the copy and the emptying may be missing in both.
        """
        try:
            if self.log.stat().st_size <= most:
                return False
            self.age_logs()
            with self.log.open("rb") as log, self.log.with_suffix(".log.1").open("wb") as old:
                shutil.copyfileobj(log, old, 1 << 20)
            os.truncate(self.log, 0)
        except OSError:  # a full disk, a folder that somebody removed: a log is no reason to take the farm down
            with contextlib.suppress(OSError):
                if self.log.stat().st_size > 2 * most:  # it cannot be set aside, and must not fill the disk for ever
                    os.truncate(self.log, 0)
            return False
        return True

    def age_logs(self) -> None:
        """name.log.1 becomes .2, and so on; the oldest goes."""
        for n in range(OLD_LOGS - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self.log.with_suffix(f".log.{n}").replace(self.log.with_suffix(f".log.{n + 1}"))

    def last_words(self) -> str:
        """The last line of its log; of a log that has grown for weeks only the end is read."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
                lines = [line for line in log.read().decode("utf8", "replace").splitlines() if line.strip()]
        except OSError:
            return ""
        return lines[-1].strip() if lines else ""
