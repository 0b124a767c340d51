"""Pages that hang, kill their process, run out of memory or raise: each ends with its reason, and its neighbours are read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
import redis

from tests.documents import png
from tests.faults.inject import sitecustomize as inject
from tests.faults.pages import check_numbered, idle, slow, slow_document, submit_numbered, until, wait_running
from tests.running_farm import RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]


def page(text: str, width: int = 900) -> bytes:
    return png(text, width=width, height=160)


def dead_letter(farm: RunningFarm, job: str) -> dict:
    (letter,) = [row for row in farm.http.get("/v1/dead-letters").json() if row["id"] == job]
    return dict(letter)


@pytest.mark.row(n=6)
def test_a_page_that_kills_its_process(farm: RunningFarm) -> None:
    bad = farm.submit(page("I kill whoever reads me", inject.DIES))
    good = submit_numbered(farm, 4)
    views = farm.wait([bad, *good])
    check_numbered(farm, good, {job: views[job] for job in good})
    assert views[bad]["state"] == "failed"
    assert views[bad]["attempt"] == 3
    assert views[bad]["error"]["code"] == "worker_lost"
    letter = dead_letter(farm, bad)
    assert [a["attempt"] for a in letter["attempts"]] == [1, 2, 3]
    assert {a["failure"]["code"] for a in letter["attempts"]} == {"worker_lost"}


def test_a_page_that_hangs(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm(soft_time_limit_s=5, hard_time_limit_s=16, max_attempts=1)
    begun = time.monotonic()
    bad = farm.submit(page("I never end", inject.HANGS))
    good = submit_numbered(farm, 4)
    views = farm.wait([bad, *good])
    assert views[bad]["error"]["code"] == "timeout", views[bad]
    assert time.monotonic() - begun < 50
    check_numbered(farm, good, {job: views[job] for job in good})


def test_a_message_brings_no_time_limit_of_its_own(start_farm: Callable[..., RunningFarm]) -> None:
    """Whoever may push messages (a stolen password of Flower's) could else have a page that hangs hold its process for ever."""
    farm = start_farm(workers=1, soft_time_limit_s=5, hard_time_limit_s=16, max_attempts=1)
    wait_running(farm, [farm.submit(slow("Page number 100"))])
    bad = farm.submit(page("I never end, and say that I may", inject.HANGS))
    with redis.Redis.from_url((farm.state / "redis" / "url").read_text("ascii").strip()) as thief:
        raw = thief.rpop("of:q:balanced")
        assert isinstance(raw, bytes), "the page before it was too quick"
        message = json.loads(raw)
        message["headers"]["timelimit"] = [9999, 9999]
        thief.lpush("of:q:balanced", json.dumps(message))
    assert farm.wait([bad], timeout=90)[bad]["error"]["code"] == "timeout"
    until(lambda: farm.http.get("/v1/farm").json()["slots"] == 1, 60, "the process still hangs")
    check_numbered(farm, jobs := submit_numbered(farm, 1), farm.wait(jobs))


@pytest.mark.row(n=5)
def test_a_page_that_hangs_with_a_redis_restart_in_between(start_farm: Callable[..., RunningFarm]) -> None:
    """The pool may forget its timers when its connection breaks, or leave altogether; the page dies on time, and ends as a timeout."""
    farm = start_farm(heartbeat_s=1, lease_s=4, sweep_s=1, soft_time_limit_s=5, hard_time_limit_s=12)
    bad = farm.submit(page("I never end either", inject.HANGS))
    wait_running(farm, [bad])
    old = farm.kill("redis")
    farm.wait_restarted("redis", old)
    farm.wait_ready()
    good = submit_numbered(farm, 4)
    views = farm.wait([bad, *good], timeout=150)
    assert views[bad]["error"]["code"] == "timeout", views[bad]
    assert all(a["ended"] - a["started"] < 12 + 4 + 10 for a in dead_letter(farm, bad)["attempts"])
    check_numbered(farm, good, {job: views[job] for job in good})
    until(lambda: farm.http.get("/v1/farm").json()["slots"] == 2, 60, "a process still hangs")


@pytest.mark.parametrize(
    ("width", "code"),
    [
        (inject.RUNS_OUT_OF_MEMORY, "out_of_memory"),
        (inject.OPENCV_RUNS_OUT, "out_of_memory"),
        (inject.RAISES, "internal"),
    ],
)
def test_a_page_that_raises(farm: RunningFarm, width: int, code: str) -> None:
    bad = farm.submit(page("I raise", width), cache="off")
    good = submit_numbered(farm, 2)
    views = farm.wait([bad, *good])
    assert views[bad]["state"] == "failed"
    assert views[bad]["error"]["code"] == code
    assert views[bad]["attempt"] == 3
    assert "ZeroDivision" not in str(views[bad]), "what went wrong inside is the log's, not the caller's"
    check_numbered(farm, good, {job: views[job] for job in good})


@pytest.mark.row(n=18)
def test_cancelled_in_mid_document(farm: RunningFarm) -> None:
    job = farm.submit(slow_document(12), name="x.tif", cache="off")
    until(lambda: farm.job(job)["progress"]["pages_done"] >= 1, 60, "no page was ever read")
    assert farm.http.post(f"/v1/jobs/{job}/cancel").status_code == 202
    view, read = farm.job(job), farm.pages_read()
    assert view["state"] == "cancelled"
    assert view["progress"]["pages_done"] < 11, "it was over before it was cancelled"
    assert farm.http.post(f"/v1/jobs/{job}/cancel").status_code == 409
    check_free_within_a_page(farm, read)


@pytest.mark.row(n=18)
def test_a_deadline_in_mid_document(farm: RunningFarm) -> None:
    begun = time.monotonic()
    job = farm.submit(slow_document(12), name="x.tif", cache="off", deadline_s="3")
    view = farm.wait([job])[job]
    read = farm.pages_read()
    assert (view["state"], (view["error"] or {}).get("code")) == ("failed", "deadline_exceeded"), view
    assert view["ended_at"] - view["created_at"] < 3 + 5 + 5, "the sweep comes every 5 s"
    assert time.monotonic() - begun < 60
    check_free_within_a_page(farm, read)


def check_free_within_a_page(farm: RunningFarm, read: int) -> None:
    """Of the document nothing but the two pages in hand is read on, and the next job's turn is at once."""
    (after,) = submit_numbered(farm, 1, slow)
    check_numbered(farm, [after], farm.wait([after]))
    until(lambda: idle(farm), 30, "pages that nobody wants are still being read")
    assert farm.pages_read() - read <= 3, "pages that nobody wants were read on"


def test_cancelled_while_it_waits(farm: RunningFarm) -> None:
    jobs = submit_numbered(farm, 6, slow)
    assert farm.http.post(f"/v1/jobs/{jobs[-1]}/cancel").status_code == 202
    assert farm.job(jobs[-1])["state"] == "cancelled"
    views = farm.wait(jobs)
    assert [views[j]["state"] for j in jobs] == ["succeeded"] * 5 + ["cancelled"]
