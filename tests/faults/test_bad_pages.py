"""Pages that hang, kill their process, run out of memory or raise: each ends with its reason, and its neighbours are read."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import png
from tests.faults.inject import sitecustomize as inject
from tests.running_farm import RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(300)]
INJECT = Path(inject.__file__).parent


def page(text: str, width: int = 900) -> bytes:
    return png(text, width=width, height=160)


@pytest.fixture
def farm(start_farm: Callable[..., RunningFarm]) -> RunningFarm:
    return start_farm(python_path=INJECT)


def neighbours(farm: RunningFarm, count: int = 4) -> list[str]:
    return [farm.submit(page(f"Neighbour number {n}"), cache="off") for n in range(count)]


def dead_letter(farm: RunningFarm, job: str) -> dict:
    (letter,) = [row for row in farm.http.get("/v1/dead-letters").json() if row["id"] == job]
    return dict(letter)


def test_a_page_that_kills_its_process(farm: RunningFarm) -> None:
    bad = farm.submit(page("I kill whoever reads me", inject.DIES))
    good = neighbours(farm)
    views = farm.wait([bad, *good])
    assert {views[j]["state"] for j in good} == {"succeeded"}
    assert views[bad]["state"] == "failed"
    assert views[bad]["attempt"] == 3
    assert views[bad]["error"]["code"] == "worker_lost"
    letter = dead_letter(farm, bad)
    assert [a["attempt"] for a in letter["attempts"]] == [1, 2, 3]
    assert {a["failure"]["code"] for a in letter["attempts"]} == {"worker_lost"}


def test_a_page_that_hangs(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm(python_path=INJECT, soft_time_limit_s=5, hard_time_limit_s=16, max_attempts=1)
    begun = time.monotonic()
    bad = farm.submit(page("I never end", inject.HANGS))
    good = neighbours(farm)
    views = farm.wait([bad, *good])
    assert views[bad]["error"]["code"] == "timeout", views[bad]
    assert time.monotonic() - begun < 50
    assert {views[j]["state"] for j in good} == {"succeeded"}


def test_a_page_that_hangs_with_a_redis_restart_in_between(start_farm: Callable[..., RunningFarm]) -> None:
    """The pool may forget its timers when its connection breaks; the lease may not be renewed past the hard limit whatever happens."""
    farm = start_farm(python_path=INJECT, soft_time_limit_s=5, hard_time_limit_s=16, max_attempts=1)
    bad = farm.submit(page("I never end either", inject.HANGS))
    limit = time.monotonic() + 30
    while farm.job(bad)["state"] != "running":
        assert time.monotonic() < limit
        time.sleep(0.1)
    old = farm.kill("redis")
    farm.wait_restarted("redis", old)
    farm.wait_ready()
    good = neighbours(farm)
    views = farm.wait([bad, *good])
    assert views[bad]["error"]["code"] in ("timeout", "worker_lost"), views[bad]
    assert {views[j]["state"] for j in good} == {"succeeded"}


@pytest.mark.parametrize(("width", "code"), [(inject.RUNS_OUT_OF_MEMORY, "out_of_memory"), (inject.RAISES, "internal")])
def test_a_page_that_raises(farm: RunningFarm, width: int, code: str) -> None:
    bad = farm.submit(page("I raise", width))
    good = neighbours(farm, 2)
    views = farm.wait([bad, *good])
    assert views[bad]["state"] == "failed"
    assert views[bad]["error"]["code"] == code
    assert views[bad]["attempt"] == 3
    assert "ZeroDivision" not in str(views[bad]), "what went wrong inside is the log's, not the caller's"
    assert {views[j]["state"] for j in good} == {"succeeded"}


def test_cancel_and_deadline(farm: RunningFarm) -> None:
    slow = [farm.submit(page(f"slow {n}", inject.TAKES_TWO_SECONDS), cache="off") for n in range(6)]
    late = farm.submit(page("too late", inject.TAKES_TWO_SECONDS), cache="off", deadline_s="1")
    assert farm.http.post(f"/v1/jobs/{slow[-1]}/cancel").status_code == 202
    assert farm.job(slow[-1])["state"] == "cancelled"
    assert farm.http.post(f"/v1/jobs/{slow[-1]}/cancel").status_code == 409
    views = farm.wait([*slow, late])
    assert views[late]["state"] == "failed"
    assert views[late]["error"]["code"] == "deadline_exceeded"
    assert [views[j]["state"] for j in slow] == ["succeeded"] * 5 + ["cancelled"]
    limit = time.monotonic() + 15  # a page that nobody wants any more may still be read to its end
    while any((state := farm.http.get("/v1/farm").json())[name] for name in ("queued_units", "running_units")):
        assert time.monotonic() < limit, state
        time.sleep(0.1)


def test_a_rolling_restart(farm: RunningFarm) -> None:
    jobs = [farm.submit(page(f"Rolling page {100 + n}"), cache="off") for n in range(60)]
    for part in ("worker", "dispatcher", "api"):
        old = farm.kill(part, signal.SIGTERM)
        farm.wait_restarted(part, old, timeout=90)
    views = farm.wait(jobs)
    assert {v["state"] for v in views.values()} == {"succeeded"}
    assert [farm.text(job).split()[-1] for job in jobs] == [str(100 + n) for n in range(60)]
