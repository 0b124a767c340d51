"""The supervisor with real processes: what dies is started again, what is told to stop stops, and nothing outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ocrfarm.farm.children import Child, Program

STAND_IN = Path(__file__).with_name("stand_in_farm.py")
SLEEP = ["sleep", "1000"]


def until(true: Callable[[], Any], seconds: float = 15) -> Any:
    """The first true value; fails after `seconds`."""
    ends = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < ends, "it did not come true in time"
        time.sleep(0.02)
    return value


class Farm:
    def __init__(self, state: Path, *programs: dict[str, Any], before: tuple[str, ...] = ()) -> None:
        state.mkdir(exist_ok=True, mode=0o700)
        self.state = state
        listed = state / "programs.json"
        listed.write_text(json.dumps(programs), "utf8")
        self.names = [str(p["name"]) for p in programs]
        self.out = state / "out"
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*before, sys.executable, STAND_IN, state, listed],
                stdout=out,
                stderr=subprocess.STDOUT,
                # whoever runs the tests may ignore SIGHUP (nohup), and children inherit that
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )

    @property
    def said(self) -> str:
        return self.out.read_text("utf8")

    def pids(self) -> dict[str, Any]:
        try:
            return json.loads((self.state / "pids.json").read_text("utf8"))
        except FileNotFoundError:
            return {}

    def pid(self, name: str) -> int | None:
        """Once it runs its own program (and not the tether that becomes it)."""
        row = self.pids().get(name, {})
        pid = row.get("pid")
        return (
            pid
            if pid and alive(pid) and cmdline(pid)[-1:] == row["argv"][-1:] and cmdline(pid)[0] == row["argv"][0]
            else None
        )

    def up(self) -> dict[str, int]:
        return {name: until(lambda name=name: self.pid(name)) for name in self.names}


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def cmdline(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline() or [""]
    except psutil.NoSuchProcess:
        return [""]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Farm]]:
    farms: list[Farm] = []

    def make(*programs: dict[str, Any], state: str = "state", before: tuple[str, ...] = ()) -> Farm:
        farms.append(Farm(tmp_path / state, *programs, before=before))
        return farms[-1]

    yield make
    for farm in farms:
        if farm.process.poll() is None:
            farm.process.kill()
        farm.process.wait()


def program(name: str, argv: list[str] = SLEEP, **more: Any) -> dict[str, Any]:
    return {"name": name, "argv": argv, **more}


def test_a_killed_child_is_started_again_and_written_down(start: Callable[..., Farm]) -> None:
    farm = start(program("one"), program("two"))
    before = farm.up()
    assert farm.pids()["supervisor"]["pid"] == farm.process.pid
    assert farm.pids()["one"]["restarts"] == 0
    os.kill(before["one"], signal.SIGKILL)
    until(lambda: farm.pids().get("one", {}).get("restarts") == 1)
    after = farm.up()
    assert after["one"] != before["one"]
    assert after["two"] == before["two"]
    assert "one was killed by SIGKILL" in farm.said


def test_the_delay_before_a_restart_grows_and_is_bounded(start: Callable[..., Farm]) -> None:
    farm = start(program("dies", ["sh", "-c", "echo no such model; exit 3"]))
    until(lambda: farm.pids().get("dies", {}).get("restarts", 0) >= 4)
    delays = [
        float(line.split(" again in ")[1].split(" s")[0]) for line in farm.said.splitlines() if "again in" in line
    ]
    assert delays[:4] == pytest.approx([0.2, 0.5, 1.0, 2.0], abs=0.15)
    assert "ended with status 3" in farm.said
    assert "It said: no such model" in farm.said


def test_sigterm_stops_all_in_order_and_leaves_nothing(start: Callable[..., Farm], tmp_path: Path) -> None:
    order = tmp_path / "order"
    tells = 'trap "echo $0 >> {order}; exit 0" TERM; while :; do sleep 0.05; done'
    farm = start(
        *(program(name, ["bash", "-c", tells.format(order=order), name]) for name in ("redis", "api", "worker"))
    )
    pids = farm.up()
    time.sleep(0.3)  # the traps are set
    farm.process.send_signal(signal.SIGTERM)
    assert farm.process.wait(15) == 0
    assert order.read_text().split() == ["worker", "api", "redis"]  # the last started first
    assert not any(alive(pid) for pid in pids.values())
    assert not (farm.state / "pids.json").exists()


def test_what_a_child_started_is_ended_with_it(start: Callable[..., Farm], tmp_path: Path) -> None:
    grandchild = tmp_path / "grandchild"
    farm = start(program("parent", ["bash", "-c", f"sleep 1000 & echo $! > {grandchild}; wait", "parent"]))
    pid = int(until(lambda: grandchild.exists() and grandchild.read_text().strip()))
    assert alive(pid)
    farm.process.send_signal(signal.SIGTERM)
    assert farm.process.wait(15) == 0
    until(lambda: not alive(pid), 5)


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(start: Callable[..., Farm]) -> None:
    farm = start(program("deaf", ["bash", "-c", 'trap "" TERM; while :; do sleep 0.05; done', "deaf"], grace_s=0.5))
    pid = farm.up()["deaf"]
    time.sleep(0.3)
    farm.process.send_signal(signal.SIGINT)
    assert farm.process.wait(15) == 0
    assert not alive(pid)
    assert "deaf did not stop" in farm.said


def test_a_second_signal_hurries_it(start: Callable[..., Farm]) -> None:
    farm = start(program("deaf", ["bash", "-c", 'trap "" TERM; while :; do sleep 0.05; done', "deaf"], grace_s=60))
    pid = farm.up()["deaf"]
    time.sleep(0.3)
    farm.process.send_signal(signal.SIGINT)
    until(lambda: "SIGINT: stopping" in farm.said)
    time.sleep(0.5)
    assert alive(pid)
    farm.process.send_signal(signal.SIGINT)
    assert farm.process.wait(15) == 0
    assert not alive(pid)


def test_nothing_outlives_a_supervisor_that_is_killed(start: Callable[..., Farm]) -> None:
    farm = start(program("one"), program("two"))
    pids = farm.up()
    farm.process.kill()
    until(lambda: not any(alive(pid) for pid in pids.values()), 5)


def test_preparation_runs_once_and_before(start: Callable[..., Farm], tmp_path: Path) -> None:
    log = tmp_path / "log"
    farm = start(
        program("worker", ["sh", "-c", f"echo run >> {log}; exit 1"], prepare=["sh", "-c", f"echo prepare >> {log}"])
    )
    until(lambda: log.exists() and log.read_text().split()[:3] == ["prepare", "run", "run"])
    assert farm.pids()["worker"]["restarts"] >= 1


def test_a_preparation_that_fails_is_tried_again(start: Callable[..., Farm], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    farm = start(
        program("worker", prepare=["sh", "-c", f"test -e {mark} && exit 0; touch {mark}; echo not yet; exit 1"])
    )
    until(lambda: farm.pids().get("worker", {}).get("argv") == SLEEP)
    assert farm.up()["worker"]
    assert farm.pids()["worker"]["restarts"] == 1
    assert "It said: not yet" in farm.said


def test_two_farms_cannot_share_a_state_folder_and_can_run_side_by_side(
    start: Callable[..., Farm], tmp_path: Path
) -> None:
    first = start(program("one"))
    first.up()
    listed = first.state / "programs.json"
    second = subprocess.run([sys.executable, STAND_IN, first.state, listed], capture_output=True, text=True, timeout=20)
    assert second.returncode == 2
    assert f"Another farm (process {first.process.pid}) runs in {first.state}" in second.stdout
    assert "OCRFARM_STATE" in second.stdout
    beside = start(program("one"), state="other")
    assert beside.up()["one"] != first.up()["one"]
    first.process.kill()
    first.process.wait()
    again = start(program("one"))  # the lock fell with its process
    assert again.up()["one"]


def test_logs_are_kept_through_restarts_and_turned_at_the_start(start: Callable[..., Farm]) -> None:
    farm = start(program("talks", ["sh", "-c", "echo hello; exec sleep 1000"]))
    log = farm.state / "logs" / "talks.log"
    until(lambda: log.exists() and log.read_text() == "hello\n")
    os.kill(farm.pids()["talks"]["pid"], signal.SIGKILL)
    until(lambda: log.read_text() == "hello\nhello\n")
    farm.process.send_signal(signal.SIGTERM)
    farm.process.wait(15)
    start(program("talks", ["sh", "-c", "echo new; exec sleep 1000"]))
    until(lambda: log.exists() and log.read_text() == "new\n")
    assert log.with_suffix(".log.1").read_text() == "hello\nhello\n"


def test_a_disk_that_takes_nothing_does_not_end_the_farm(start: Callable[..., Farm], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "pids.part").mkdir()  # where pids.json would be written
    (tmp_path / "state" / "logs" / "mute.log").mkdir(parents=True)
    ran = tmp_path / "ran"
    farm = start(program("mute"), program("runs", ["sh", "-c", f"echo x >> {ran}; sleep 0.1"]))
    until(lambda: ran.exists() and len(ran.read_text()) >= 6)
    assert "pids.json cannot be written" in farm.said
    assert "mute cannot be started" in farm.said
    farm.process.send_signal(signal.SIGTERM)
    assert farm.process.wait(15) == 0


def test_hanging_up_stops_it_unless_it_was_told_to_ignore_that(start: Callable[..., Farm]) -> None:
    farm, deaf = start(program("one")), start(program("one"), state="deaf", before=("nohup",))
    pids = farm.up()["one"], deaf.up()["one"]
    for one in (farm, deaf):
        one.process.send_signal(signal.SIGHUP)
    assert farm.process.wait(15) == 0
    assert not alive(pids[0])
    time.sleep(0.5)
    assert deaf.process.poll() is None
    assert alive(pids[1])


def test_the_last_words_of_a_long_log_are_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    with log.open("wb") as file:
        file.truncate(3_000_000_000)  # takes no room on the disk, and would take 3 GB in memory
        file.seek(0, os.SEEK_END)
        file.write(b"\nit said this\n\n")
    words = Child(Program("one", SLEEP, {}), log).last_words()
    assert words == "it said this"


def test_a_log_is_turned_while_its_program_writes_on(tmp_path: Path) -> None:
    count = "import itertools, time\nfor n in itertools.count(): print(f'line {n:09d}', flush=True); time.sleep(0.001)"
    child = Child(Program("writer", [sys.executable, "-c", count], dict(os.environ)), tmp_path / "writer.log")
    child.start()
    try:
        turned = 0
        ends = time.monotonic() + 60
        while turned < 5:
            turned += child.turn_log(most=2000)
            assert time.monotonic() < ends
            time.sleep(0.01)
        size = child.log.stat().st_size
        until(lambda: child.log.stat().st_size > size)  # it writes on, into the same file
    finally:
        child.end()
    kept = [child.log, *(tmp_path / f"writer.log.{n}" for n in (1, 2, 3))]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in kept)
    texts = [path.read_text("ascii") for path in kept]
    assert not any("\0" in text for text in texts)
    numbers = [int(line.split()[1]) for text in reversed(texts) for line in text.splitlines()]
    assert numbers == sorted(numbers)  # the oldest file is the one with the highest number
    assert all(2000 < len(text) < 200_000 for text in texts[1:])


def test_a_log_that_cannot_be_set_aside_does_not_fill_the_disk(tmp_path: Path) -> None:
    child = Child(Program("writer", SLEEP, {}), tmp_path / "writer.log")
    for n in (1, 2, 3):
        (tmp_path / f"writer.log.{n}").mkdir()
        (tmp_path / f"writer.log.{n}" / "in the way").touch()
    child.log.write_bytes(b"x" * 1500)
    assert not child.turn_log(most=1000)
    assert child.log.stat().st_size == 1500
    child.log.write_bytes(b"x" * 2500)
    assert not child.turn_log(most=1000)
    assert child.log.stat().st_size == 0
