"""Starts the farm's programs, starts again whatever dies, for ever, and stops all of them in order."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import IO, Any

from ocrfarm.farm import CannotStart, StateHeld
from ocrfarm.farm.children import Child, Program

LOOK_EVERY_S = 0.1
LOGS_EVERY_S = 10.0


@contextlib.contextmanager
def hold_state(state: Path) -> Iterator[None]:
    """Keep the state folder to this farm alone, and to its user. Raises StateHeld where another farm runs in it, CannotStart where others
    may look into it.

    The lock is the kernel's (flock): it falls with the process, however that ends, so that none is ever left behind.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    keep_to_oneself(state)
    with (state / "farm.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateHeld(
                f"Another farm{_holder(lock)} runs in {state}; stop it, or give this one a folder of its own with OCRFARM_STATE."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


# What stands in a state folder before a farm ever ran in it: `ocrfarm models` and `ocrfarm keys` write there too.
_OURS = {"blobs", "counters", "logs", "models", "own-models", "redis"}


def keep_to_oneself(state: Path) -> None:
    """Uploads, results and passwords lie in there: no other user of the machine is to look in. A folder that is open to others is shut, if
    it is a farm's; one that holds something else may be anybody's (/tmp, a home). Raises CannotStart."""
    mode = state.stat().st_mode & 0o777
    if not mode & 0o077:
        return
    held = {entry.name for entry in state.iterdir()}
    said = f"Other users of this machine may look into {state} (mode {mode:04o}), where the farm keeps documents and passwords"
    if "farm.lock" not in held and not held <= _OURS:
        raise CannotStart(f"{said}; give it a folder of its own with OCRFARM_STATE, or `chmod 700` this one.")
    try:
        state.chmod(mode & 0o700)
    except OSError as err:
        raise CannotStart(
            f"{said}, and it cannot be shut ({err.strerror}); `chmod 700` it as its owner, or name one inside of it with OCRFARM_STATE."
        ) from None


def _holder(lock: IO[str]) -> str:
    lock.seek(0)
    pid = lock.read().strip()
    return f" (process {pid})" if pid else ""


class Supervisor:
    """Keeps programs alive. `programs` stand in the order of starting; they are stopped in the order of `stop_order`.

    `notice` gets one short sentence for each thing a person should know. Use it from the main thread (see tether.py).
    """

    def __init__(
        self, programs: Sequence[Program], state: Path, notice: Callable[[str], None], stop_order: Sequence[str] = ()
    ) -> None:
        logs = state / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.children = {program.name: Child(program, logs / f"{program.name}.log") for program in programs}
        for child in self.children.values():
            if child.log.is_file():
                child.age_logs()
                child.log.replace(child.log.with_suffix(".log.1"))
        self.stopping = threading.Event()
        self._pids = state / "pids.json"
        self._notice = notice
        self._stop_order = [n for n in stop_order if n in self.children]
        self._stop_order += [n for n in reversed(self.children) if n not in self._stop_order]
        self._hurried = False
        self._logs_due = monotonic() + LOGS_EVERY_S
        self.stopped_by = ""
        """The signal that stopped it, where one did."""

    # ------------------------------------------------------------------------------------------------ life
    def start(self, name: str) -> None:
        """Start one program now, before the rest."""
        self._start(self.children[name])
        self._write_pids()

    def run(self, give_up: bool = False) -> None:
        """Start what is not running, and keep it so until `stopping` is set. With `give_up`, until it is hopeless, too."""
        while not self.stopping.is_set() and not (give_up and self.hopeless()):
            changed = False
            for child in self.children.values():
                before = child.process
                status = child.look()
                if status is not None:
                    self._tell(child, status)
                if child.process is None and child.due <= monotonic():
                    self._start(child)
                changed |= child.process is not before
            if changed:
                self._write_pids()
            if monotonic() >= self._logs_due:
                self._logs_due = monotonic() + LOGS_EVERY_S
                for child in self.children.values():
                    child.turn_log()
            self.stopping.wait(LOOK_EVERY_S)

    def stop(self) -> None:
        """Stop all, one after the other: each gets SIGTERM, and SIGKILL when its grace is over."""
        if self.stopped_by:
            self._notice(f"{self.stopped_by}: stopping; pages that are being read may end, a second one stops them too")
        for name in self._stop_order:
            child = self.children[name]
            if not child.end(lambda: self._hurried):
                self._notice(f"{name} did not stop in time and was killed")
        self._pids.unlink(missing_ok=True)

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP stop the farm; a second one hurries it."""

        def stop(number: int, _frame: FrameType | None) -> None:
            self._hurried = self.stopping.is_set()
            self.stopped_by = self.stopped_by or signal.Signals(number).name
            self.stopping.set()

        listened = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
        former: dict[int, Any] = {n: signal.signal(n, stop) for n in listened}  # `nohup` asked to ignore one
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def hopeless(self) -> Child | None:
        """A child that died five times and never lived for 30 s: waiting will not mend it."""
        return next((child for child in self.children.values() if child.early_deaths >= 5), None)

    # ------------------------------------------------------------------------------------------------ details
    def _start(self, child: Child) -> None:
        """A child that cannot be started now (no memory, a full disk) is tried again; the supervisor lives on."""
        if child.preparing:
            self._notice(f"{child.program.name}: preparing, see {child.log}")
        try:
            child.start()
        except OSError as err:
            child.put_off()
            self._notice(f"{child.program.name} cannot be started ({err}); trying again")

    def _tell(self, child: Child, status: int) -> None:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        words = child.last_words()
        self._notice(
            f"{child.program.name} {how}; starting it again in {max(0.0, child.due - monotonic()):.1f} s"
            + (f". It said: {words[:300]}" if words and status > 0 else "")
        )

    def _write_pids(self) -> None:
        """pids.json: name -> {pid, argv, restarts}; no pid while a child waits to be started again. Replaced as a whole."""
        record: dict[str, Any] = {
            "supervisor": {"pid": os.getpid(), "argv": [sys.executable, *sys.argv], "restarts": 0}
        }
        for name, child in self.children.items():
            record[name] = {"argv": child.argv, "restarts": child.restarts}
            if child.process:
                record[name]["pid"] = child.process.pid
        partial = self._pids.with_suffix(".part")
        try:
            partial.write_text(json.dumps(record, indent=1) + "\n", "utf8")
            partial.replace(self._pids)
        except OSError as err:  # a full disk is no reason to take the farm down
            self._notice(f"{self._pids} cannot be written ({err})")
