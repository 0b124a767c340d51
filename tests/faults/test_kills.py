"""kill -9 of every part in mid-run: every accepted job ends once, with its text."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

import httpx
import psutil
import pytest

from tests.documents import png
from tests.running_farm import ENDED, RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(240)]


LINES = 24


def long_page(number: int) -> bytes:
    """A page that takes a process a while: many lines, each naming it."""
    lines = [f"Page {number:03d} line {n:02d} and enough words to be read for some time" for n in range(LINES)]
    return png("\n".join(lines), width=1500, height=LINES * 50 + 80, size=28)


def wait_running(farm: RunningFarm, jobs: list[str], at_least: int = 1) -> list[str]:
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        running = [job for job in jobs if farm.job(job)["state"] == "running"]
        if len(running) >= at_least:
            return running
        time.sleep(0.1)
    raise TimeoutError("nothing was running")


def check_texts(farm: RunningFarm, jobs: list[str], views: dict[str, dict]) -> None:
    assert {v["state"] for v in views.values()} == {"succeeded"}, views
    for number, job in enumerate(jobs):
        text = farm.text(job)
        assert text.count(f"{number:03d}") >= LINES - 1, f"job {number} has another's text, or half of it"
    state = farm.http.get("/v1/farm").json()
    assert (state["queued_units"], state["running_units"]) == (0, 0)


def test_a_worker_child(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm()
    jobs = [farm.submit(long_page(n)) for n in range(8)]
    wait_running(farm, jobs, 2)
    victims = [p for p in farm.worker_children() if not p.children()]
    killed = time.monotonic()
    for victim in victims:
        victim.kill()
    again = None
    while again is None and time.monotonic() < killed + 60:
        if any(farm.job(job)["attempt"] >= 2 for job in jobs):
            again = time.monotonic() - killed
        time.sleep(0.1)
    assert again is not None, farm.logs()
    assert again < 30, f"the page ran elsewhere only after {again:.1f} s"
    check_texts(farm, jobs, farm.wait(jobs))


def test_the_whole_pool(start_farm: Callable[..., RunningFarm]) -> None:
    """Parent and children at once: nobody is left to say so, and the lease must run out."""
    farm = start_farm()
    jobs = [farm.submit(long_page(n)) for n in range(6)]
    held = wait_running(farm, jobs, 2)
    old = farm.pid("worker")
    family = [psutil.Process(old), *farm.worker_children()]
    killed = time.monotonic()
    for process in family:
        process.kill()
    waiting = set(held)
    while waiting and time.monotonic() < killed + 60:
        waiting -= {job for job in waiting if farm.job(job)["attempt"] >= 2}
        time.sleep(0.1)
    took = time.monotonic() - killed
    assert not waiting, farm.logs()
    assert took < 30, f"the pages ran elsewhere only after {took:.1f} s"
    check_texts(farm, jobs, farm.wait(jobs))
    farm.wait_restarted("worker", old)


def test_the_pools_parent_alone(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm()
    jobs = [farm.submit(long_page(n)) for n in range(6)]
    wait_running(farm, jobs, 2)
    orphans = farm.worker_children()
    old = farm.kill("worker")
    check_texts(farm, jobs, farm.wait(jobs))
    farm.wait_restarted("worker", old)
    limit = time.monotonic() + 30
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in orphans):
        assert time.monotonic() < limit, "processes of the dead pool live on"
        time.sleep(0.1)


def test_redis_three_times(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm()
    jobs = [farm.submit(long_page(n)) for n in range(8)]
    for _ in range(3):
        wait_running(farm, jobs) if any(farm.job(j)["state"] not in ENDED for j in jobs) else None
        old = farm.kill("redis")
        farm.wait_restarted("redis", old)
        time.sleep(1.5)
        limit = time.monotonic() + 60
        while True:
            try:
                if farm.http.get("/v1/farm").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < limit, farm.logs()
            time.sleep(0.1)
    check_texts(farm, jobs, farm.wait(jobs, timeout=180))


def test_the_gateway(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm()
    jobs = []
    for n in range(9):
        jobs.append(farm.submit(long_page(n)))
        if n in (3, 7):
            farm.kill("api")
    check_texts(farm, jobs, farm.wait(jobs))


def test_the_dispatcher(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm()
    jobs = [farm.submit(long_page(n)) for n in range(4)]
    old = farm.kill("dispatcher")
    check_texts(farm, jobs, farm.wait(jobs))
    farm.wait_restarted("dispatcher", old)


def test_a_message_lost_between_redis_and_a_worker(start_farm: Callable[..., RunningFarm]) -> None:
    """The BRPOP window: a stopped worker's connection takes the message, then the worker is killed. Celery has lost it; we have not."""
    farm = start_farm()
    old = farm.pid("worker")
    family = [psutil.Process(old), *farm.worker_children()]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    jobs = [farm.submit(long_page(n)) for n in range(3)]
    time.sleep(1)
    for process in family:
        process.kill()
    check_texts(farm, jobs, farm.wait(jobs, timeout=120))


def test_a_worker_that_wakes_too_late_writes_nothing(start_farm: Callable[..., RunningFarm]) -> None:
    """Stopped past its lease in mid-page, then continued: its write is stale, the other's stands."""
    farm = start_farm(heartbeat_s=0.5, lease_s=1.5, sweep_s=0.5)
    jobs = [farm.submit(long_page(n)) for n in range(2)]
    wait_running(farm, jobs, 2)
    sleepers = [p for p in farm.worker_children() if not p.children()]
    victim = sleepers[0]
    victim.send_signal(signal.SIGSTOP)
    check_texts(farm, jobs, farm.wait(jobs, timeout=120))
    assert stale_writes(farm) == 0
    os.kill(victim.pid, signal.SIGCONT)
    limit = time.monotonic() + 60
    while stale_writes(farm) == 0:
        assert time.monotonic() < limit, "the sleeper never tried to write"
        time.sleep(0.1)
    check_texts(farm, jobs, {job: farm.job(job) for job in jobs})


def stale_writes(farm: RunningFarm) -> int:
    found = re.search(r"^ocrfarm_stale_writes_total (\d+)", farm.http.get("/metrics").text, re.M)
    return int(found[1]) if found else 0
