"""kill -9 of every part in mid-run: every accepted job ends once, with its text."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from tests.faults.pages import check_numbered, idle, quick, slow, stale_writes, submit_numbered, until, wait_running
from tests.running_farm import RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]


def family(farm: RunningFarm) -> list[psutil.Process]:
    """The pool's parent and its processes."""
    return [psutil.Process(farm.pid("worker")), *farm.worker_children()]


@pytest.mark.row(n=1)
def test_a_message_lost_between_redis_and_a_worker(farm: RunningFarm) -> None:
    """The BRPOP window: a stopped worker's connection takes the message, then the worker is killed. Celery has lost it; we have not."""
    old, stopped = farm.pid("worker"), family(farm)
    jobs: list[str] = []
    for _ in range(20):  # a BRPOP waits in Redis for a second at a time: a job may come between two of them
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        jobs.append(farm.submit(quick(f"Page number {100 + len(jobs)}"), cache="off"))
        if taken(farm):
            break
        for process in stopped:
            process.send_signal(signal.SIGCONT)
        farm.wait(jobs)
    else:
        raise AssertionError("no message was ever on its way to a stopped worker: the fault was not there")
    for process in stopped:
        process.kill()
    check_numbered(farm, jobs, farm.wait(jobs))
    farm.wait_restarted("worker", old)


def taken(farm: RunningFarm) -> int:
    """Messages that have left Redis, of units that nobody has claimed."""
    with farm.redis() as connection:
        published = sum(connection.zcard(key) for key in connection.scan_iter("of:published:*"))
        return int(published - sum(connection.llen(key) for key in connection.scan_iter("of:q:*")))


@pytest.mark.row(n=2)
def test_the_whole_pool(farm: RunningFarm) -> None:
    """Parent and children at once: nobody is left to say so, and the lease must run out."""
    read = farm.pages_read()
    jobs = submit_numbered(farm, 4, slow)
    held = wait_running(farm, jobs, 2)
    old, killed = farm.pid("worker"), time.monotonic()
    for process in family(farm):
        process.kill()
    until(lambda: all(farm.job(job)["attempt"] >= 2 for job in held), 60, "the pages never ran elsewhere")
    took = time.monotonic() - killed
    assert took < 30, f"the pages ran elsewhere only after {took:.1f} s"
    check_numbered(farm, jobs, farm.wait(jobs))
    assert farm.pages_read() - read == len(jobs), "a result was recorded twice"
    farm.wait_restarted("worker", old)


@pytest.mark.row(n=2)
def test_a_worker_child(farm: RunningFarm) -> None:
    """The pool's parent sees it die, and lets go of its page at once."""
    jobs = submit_numbered(farm, 4, slow)
    held = wait_running(farm, jobs, 2)
    killed = time.monotonic()
    for victim in farm.readers():
        victim.kill()
    until(lambda: all(farm.job(job)["attempt"] >= 2 for job in held), 60, "the pages never ran elsewhere")
    took = time.monotonic() - killed
    assert took < 30, f"the pages ran elsewhere only after {took:.1f} s"
    check_numbered(farm, jobs, farm.wait(jobs))


def test_the_pools_parent_alone(farm: RunningFarm) -> None:
    jobs = submit_numbered(farm, 4, slow)
    wait_running(farm, jobs, 2)
    orphans = farm.worker_children()
    old = farm.kill("worker")
    check_numbered(farm, jobs, farm.wait(jobs))
    farm.wait_restarted("worker", old)
    until(
        lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in orphans),
        30,
        "processes of the dead pool live on",
    )


@pytest.mark.row(n=3)
def test_redis_three_times(farm: RunningFarm) -> None:
    jobs = submit_numbered(farm, 12, slow)
    for _ in range(3):
        wait_running(farm, jobs)
        old = farm.kill("redis")
        farm.wait_restarted("redis", old)
        until(lambda: farm.http.get("/v1/farm").status_code == 200, 60, "Redis did not come back")
    check_numbered(farm, jobs, farm.wait(jobs))
    assert idle(farm)


def test_the_gateway(farm: RunningFarm) -> None:
    jobs = []
    for n in range(9):
        jobs.append(farm.submit(quick(f"Page number {100 + n}"), cache="off"))
        if n in (3, 7):
            farm.kill("api")
    check_numbered(farm, jobs, farm.wait(jobs))


def test_the_dispatcher(farm: RunningFarm) -> None:
    jobs = submit_numbered(farm, 4, slow)
    old = farm.kill("dispatcher")
    check_numbered(farm, jobs, farm.wait(jobs))
    farm.wait_restarted("dispatcher", old)


@pytest.mark.row(n=12)
def test_a_worker_that_wakes_too_late_writes_nothing(start_farm: Callable[..., RunningFarm]) -> None:
    """Stopped past its lease in mid-page, then continued while another holds its page: its write is refused, the other's stands."""
    farm = start_farm(heartbeat_s=1, lease_s=3, sweep_s=0.5)
    read = farm.pages_read()
    job = farm.submit(slow("Page number 100"), cache="off")
    wait_running(farm, [job])
    sleeper = psutil.Process(holder_of(farm))
    sleeper.send_signal(signal.SIGSTOP)
    until(lambda: farm.job(job)["attempt"] >= 2, 60, "its page was not handed to another")
    others = [p for p in farm.readers() if p.pid != sleeper.pid]
    for other in others:
        other.send_signal(signal.SIGSTOP)  # so that the page is held when the sleeper wakes
    sleeper.send_signal(signal.SIGCONT)
    until(
        lambda: stale_writes(farm) >= 1 or farm.job(job)["state"] == "succeeded", 60, "the sleeper never tried to write"
    )
    refused = stale_writes(farm)
    for other in others:
        other.send_signal(signal.SIGCONT)
    assert refused >= 1, "the write of a worker that had lost its lease was taken"
    check_numbered(farm, [job], farm.wait([job]))
    assert farm.pages_read() - read == 1


def holder_of(farm: RunningFarm) -> int:
    """The process id of the one worker process that holds a unit, by what its heart says; it says so at its next beat."""
    found: list[int] = []

    def beaten() -> bool:
        with farm.redis() as connection:
            said = [connection.get(key) for key in connection.scan_iter("of:process:*")]
        found[:] = [row["pid"] for row in map(json.loads, filter(None, said)) if row["reading"]]
        return bool(found)

    until(beaten, 2, "nobody says that it reads")
    return found[0]
