"""What processes count between two heartbeats, and what the ledger's transitions count themselves."""

from __future__ import annotations

import threading

import pytest
from tests.unit.shared.test_ledger_cleaning import PROFILE, TENANT, Bench, bench  # noqa: F401 - a fixture

from ocrfarm_shared import counting
from ocrfarm_shared.contracts import OcrOptions, Page, Priority, Submission
from ocrfarm_shared.counting import Tally
from ocrfarm_shared.errors import Unreadable, WorkerLost
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.records import ClaimedUnit


def test_durations_by_bucket() -> None:
    tally = Tally()
    for seconds in (0.004, 0.005, 0.3, 500):
        tally.observe(counting.STAGE, "detect", seconds)
    assert tally.take() == {
        "stage_s:detect:le:0.005": 2,
        "stage_s:detect:le:0.5": 1,
        "stage_s:detect:le:+Inf": 1,
        "stage_s:detect:us": 500_309_000,
    }
    assert tally.take() == {}


def test_what_the_ledger_did_not_hear_goes_with_the_next() -> None:
    tally = Tally()
    tally.count("lines_read", n=3)
    lost = tally.take()
    tally.count("lines_read")
    tally.give_back(lost)
    assert tally.take() == {"lines_read": 4}


def test_a_label_cannot_break_a_field() -> None:
    tally = Tally()
    tally.count("lines", "a:b", "", "x" * 500)
    assert tally.take() == {f"lines:a_b:none:{'x' * 64}": 1}


def test_threads_lose_nothing() -> None:
    tally, taken = Tally(), []
    writers = [
        threading.Thread(target=lambda: [tally.observe(counting.PAGE, "p", 0.2) for _ in range(2000)]) for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        taken.append(tally.take())
    taken.append(tally.take())
    assert sum(one.get("page_s:p:le:0.25", 0) for one in taken) == 8000


def stats(bench: Bench) -> dict[str, int]:  # noqa: F811
    return bench.ledger(calls.farm(TENANT)).stats


def document(bench: Bench, content: str, pages: int) -> calls.Submitted:  # noqa: F811
    submitted = bench.ledger(
        calls.submit(
            tenant=TENANT,
            upload=calls.Upload(f"{TENANT}/{content}", "application/pdf", 1, plan=True),
            submission=Submission(ocr=OcrOptions(profile=PROFILE), priority=Priority.BULK),
            cache_key=content,
            settings=bench.settings,
        )
    )
    (plan,) = bench.deliver()
    assert isinstance(plan, ClaimedUnit)
    assert plan.kind == "plan"
    assert bench.ledger(calls.finish_plan(plan.unit, plan.token, range(1, pages + 1), pages))
    return submitted


def test_heartbeat_and_farewell_bring_counts(bench: Bench) -> None:  # noqa: F811
    bench.ledger(calls.heartbeat("p", {}, lease_s=15, counters={"lines_read": 3, "stage_s:detect:le:1": 1}))
    bench.ledger(calls.heartbeat("p", {}, lease_s=15))
    bench.ledger(calls.farewell("p", counters={"lines_read": 4}))
    found = stats(bench)
    assert (found["lines_read"], found["stage_s:detect:le:1"]) == (7, 1)


def test_pages_that_stand_in_no_lane_yet(bench: Bench) -> None:  # noqa: F811
    """A document of 50 pages keeps 16 in its lane: the others are counted until they come into it, or nobody wants them any more."""
    bench.live("p")
    job = document(bench, "a", 50)
    out = calls.PLAN_WINDOW + 2  # two were handed out, and each brought the next into the lane
    assert stats(bench)["pages_behind"] == 50 - out
    claimed = bench.deliver()
    for one in claimed:
        assert isinstance(one, ClaimedUnit)
        assert bench.ledger(calls.finish_page(one.unit, one.token, Page(number=one.number, width=1, height=1)))
    state = bench.ledger(calls.farm(TENANT))
    assert state.stats["pages_behind"] + state.queued + state.published + state.stats["pages_read"] == 50
    assert 0 < state.stats["pages_behind"] < 50 - out
    assert bench.ledger(calls.cancel(TENANT, job.job_id)) == "cancelled"
    assert stats(bench)["pages_behind"] == 0


def test_a_wrong_count_heals_when_nothing_is_under_way(bench: Bench) -> None:  # noqa: F811
    bench.ledger.redis.hset(bench.key("stats"), "pages_behind", 77)
    bench.submit("a")
    bench.ledger(calls.sweep(bench.settings))
    assert stats(bench)["pages_behind"] == 77
    bench.live("p")
    bench.read()
    bench.ledger(calls.sweep(bench.settings))
    assert stats(bench)["pages_behind"] == 0


def test_the_first_claim_tells_the_wait_and_the_last_page_how_long_it_took(bench: Bench) -> None:  # noqa: F811
    bench.live("p")
    submitted = bench.submit("a")
    (claimed,) = bench.deliver()
    assert isinstance(claimed, ClaimedUnit)
    assert claimed.waited_s == pytest.approx(0, abs=5)
    assert (claimed.job, claimed.priority) == (submitted.job_id, "normal")
    recorded = bench.ledger(calls.finish_page(claimed.unit, claimed.token, Page(number=1, width=1, height=1)))
    assert recorded
    assert recorded.took_s is not None
    assert claimed.waited_s is not None
    assert claimed.waited_s <= recorded.took_s < 10
    document(bench, "b", 3)
    first, *_ = bench.deliver()
    assert isinstance(first, ClaimedUnit)
    assert first.waited_s is None  # its plan has waited
    again = bench.ledger(calls.finish_page(first.unit, first.token, Page(number=first.number, width=1, height=1)))
    assert again
    assert again.took_s is None


def test_processes_that_left_without_a_word_are_counted(bench: Bench) -> None:  # noqa: F811
    bench.live("killed")
    bench.live("stopped")
    bench.ledger(calls.farewell("stopped"))
    bench.ledger.redis.zadd(bench.key("slots"), {"killed": 1})
    bench.ledger(calls.sweep(bench.settings))
    state = bench.ledger(calls.farm(TENANT))
    assert state.stats["processes_lost"] == 1
    assert abs(state.now - state.stats["swept_at"]) < 5
    bench.ledger(calls.sweep(bench.settings))
    assert stats(bench)["processes_lost"] == 1


def test_failures_by_code_and_dead_letters(bench: Bench) -> None:  # noqa: F811
    bench.live("p")
    bench.submit("a")
    (one,) = bench.deliver()
    assert isinstance(one, ClaimedUnit)
    assert bench.ledger(calls.fail(one.unit, WorkerLost(), token=one.token, max_attempts=1)) == "failed"
    bench.submit("b")
    (two,) = bench.deliver()
    assert isinstance(two, ClaimedUnit)
    assert bench.ledger(calls.fail(two.unit, Unreadable(), token=two.token, max_attempts=3)) == "failed"
    found = stats(bench)
    assert (found["attempts_failed:worker_lost"], found["attempts_failed:unreadable"]) == (1, 1)
    assert found["attempts_failed"] == 2
    assert found["jobs_dead"] == 1  # a damaged document is none


def test_a_sweep_names_what_it_took_back(bench: Bench) -> None:  # noqa: F811
    bench.live("p")
    bench.submit("a")
    (one,) = bench.deliver()
    assert isinstance(one, ClaimedUnit)
    bench.ledger.redis.zadd(bench.key("leases", PROFILE), {one.unit: 1})
    swept = bench.ledger(calls.sweep(bench.settings))
    assert swept.taken_back == (one.unit,)
    assert bench.ledger(calls.sweep(bench.settings)).taken_back == ()
