"""A rolling restart, and Ctrl-C at odd moments."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.documents import png
from tests.faults.pages import check_numbered, idle, slow, submit_numbered, until, wait_running
from tests.running_farm import INJECT, RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]


def line(text: str) -> bytes:
    return png(text, width=420, height=70, size=32)


@pytest.mark.row(n=13)
def test_a_rolling_restart(farm: RunningFarm) -> None:
    """SIGTERM to one part after the other, with a few hundred jobs queued: none is lost, and pages in hand are read to their end."""
    read = farm.pages_read()
    jobs = [farm.submit(line(f"Line {100 + n}"), cache="off", layout="line", priority="bulk") for n in range(300)]
    in_hand = [farm.submit(slow(f"Page number {100 + n}"), cache="off", priority="interactive") for n in range(2)]
    wait_running(farm, in_hand, 2)
    for part in ("worker", "dispatcher", "api", "redis"):
        old = farm.kill(part, signal.SIGTERM)
        farm.wait_restarted(part, old, timeout=90)
    views = farm.wait([*in_hand, *jobs], timeout=240)
    assert {v["state"] for v in views.values()} == {"succeeded"}
    check_numbered(farm, in_hand, {job: views[job] for job in in_hand})
    assert all(farm.text(job).strip() for job in jobs[::10])  # small print, so one digit or another may be misread
    assert farm.pages_read() - read == 302, "a result was recorded twice"
    assert [views[job]["attempt"] for job in in_hand] == [1, 1], "a page in a worker's hands was thrown away"
    assert idle(farm)


MOMENTS: dict[str, Callable[[RunningFarm], bool]] = {
    "Redis is being started": lambda farm: (farm.state / "logs" / "redis.log").exists(),
    "the gateway is being started": lambda farm: "pid" in told(farm, "api"),
    "the pool is being started": lambda farm: (
        "pid" in told(farm, "worker") and "worker" in told(farm, "worker")["argv"]
    ),
    "a worker process is born": lambda farm: "pid" in told(farm, "worker") and len(farm.worker_children()) > 0,
}


def told(farm: RunningFarm, part: str) -> dict[str, Any]:
    try:
        return dict(json.loads((farm.state / "pids.json").read_text())[part])
    except (OSError, ValueError, KeyError):
        return {}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_while_it_starts(tmp_path: Path, moment: str) -> None:
    """Whatever is up by then goes; nothing is left, and no traceback is shown."""
    farm = RunningFarm(tmp_path / "farm", python_path=INJECT)
    farm.launch()
    assert farm.process is not None
    try:
        until(lambda: MOMENTS[moment](farm), 240, f"it never came to this: {moment}")
        stop_and_look(farm)
    finally:
        farm.stop()


def test_ctrl_c_in_mid_page_and_again(tmp_path: Path) -> None:
    """Once: pages in hand may end. Twice: they may not, and the farm goes within seconds; the jobs are there at the next start."""
    farm = RunningFarm(tmp_path / "farm", python_path=INJECT).start()
    jobs = submit_numbered(farm, 6, slow)
    wait_running(farm, jobs, 2)
    assert farm.process is not None
    try:
        farm.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        stop_and_look(farm, within_s=20)
    finally:
        farm.stop()
    farm = RunningFarm(tmp_path / "farm", python_path=INJECT).start()
    try:
        check_numbered(farm, jobs, farm.wait(jobs))
    finally:
        farm.stop()


def stop_and_look(farm: RunningFarm, within_s: float = 60) -> None:
    assert farm.process is not None
    me = psutil.Process(farm.process.pid)
    family = [me, *me.children(recursive=True)]
    farm.process.send_signal(signal.SIGINT)
    status = farm.process.wait(within_s)
    said = farm.log.read_text("utf8")
    assert "Traceback" not in said, said[-3000:]
    assert status == 0, said[-3000:]
    until(
        lambda: not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE],
        10,
        "something lives on",
    )
