"""Near the end of a backlog slow processes leave units to faster ones: the numbers (pace.py), and how the ledger holds them to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocrfarm_shared.contracts import CacheMode, OcrOptions, Page, Submission
from ocrfarm_shared.ledger import Ledger, calls, pace_calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.pace import ENOUGH_PAGES, left_to_faster
from ocrfarm_shared.settings import Settings

PROFILE = "accurate-int8"


def process(node: str, lines_per_s: float, model: str = "m", reads: str = PROFILE, **more: Any) -> dict[str, Any]:
    return {"node": node, "reads": [reads], "benchmark": {"model": model, "lines_per_s": lines_per_s}} | more


def paced(node: str, seconds: float, pages: int = ENOUGH_PAGES, lines_per_s: float = 100) -> dict[str, Any]:
    return process(node, lines_per_s, pace={PROFILE: [seconds, pages]})


def test_equal_processes_leave_nothing_to_each_other() -> None:
    assert left_to_faster({"a1": process("a", 100), "a2": process("a", 30), "b1": process("b", 190)}) == {}


def test_the_fastest_leave_nothing_and_slow_ones_alone_read_all() -> None:
    slow = {"s1": process("s", 20), "s2": process("s", 19)}
    assert left_to_faster(slow) == {}
    # Five times as fast: four others while the slow one reads one, and that for each of its two processes.
    both = slow | {"f1": process("f", 100), "f2": process("f", 90)}
    assert left_to_faster(both) == {PROFILE: {"s1": 8, "s2": 8, "f1": 0, "f2": 0}}


def test_pages_that_were_read_count_more_than_the_benchmark() -> None:
    assert left_to_faster({"a": paced("a", 1.0), "b": paced("b", 1.5, lines_per_s=10)}) == {}
    assert left_to_faster({"a": paced("a", 1.0), "b": paced("b", 3.2)}) == {PROFILE: {"a": 0, "b": 2}}
    few = {"a": paced("a", 1.0), "b": paced("b", 9.0, pages=ENOUGH_PAGES - 1)}
    assert left_to_faster(few) == {}, "a few pages say nothing"


def test_benchmarks_of_different_models_are_not_compared() -> None:
    assert left_to_faster({"a": process("a", 100, "big"), "b": process("b", 10, "small")}) == {}


def test_only_processes_that_read_the_profile_count() -> None:
    alive = {"a": process("a", 100, reads="fast"), "b": process("b", 10), "old": {"node": "old", "version": "0.1"}}
    assert left_to_faster(alive) == {}


class Uneven:
    """A fast and a slow process, four units left to the fast one, in a real ledger."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.ledger = settings, Ledger.open(settings)
        self.beat("slow", "fast")
        self.ledger.redis.sadd(f"{settings.namespace}:profiles", PROFILE)
        self.ledger(pace_calls.leave({PROFILE: {"slow": 4, "fast": 0}}, sweep_s=600))

    def beat(self, *names: str) -> None:
        for name in names:
            self.ledger(calls.heartbeat(name, {"node": name, "reads": [PROFILE]}, lease_s=600))

    def submit(self, count: int) -> None:
        for n in range(count):
            upload = calls.Upload(f"t/{n}", "image/png", 10**6, plan=False)
            submission = Submission(ocr=OcrOptions(profile=PROFILE), cache=CacheMode.OFF)
            self.ledger(
                calls.submit(tenant="t", upload=upload, submission=submission, cache_key="", settings=self.settings)
            )

    def message(self) -> str | None:
        raw = self.ledger.redis.rpop(f"{self.settings.namespace}:q:{PROFILE}")
        assert raw is None or isinstance(raw, bytes)
        return str(json.loads(json.loads(raw)["body"])[0][0]) if raw else None

    def take(self, name: str, unit: str | None = None, lease_s: float = 600) -> ClaimedUnit | str:
        unit = unit or self.message()
        assert unit is not None, "nothing is published"
        return self.ledger(calls.claim(unit, owner=name, node=name, process=name, lease_s=lease_s))

    def finish(self, claimed: ClaimedUnit | str) -> None:
        assert isinstance(claimed, ClaimedUnit), claimed
        assert self.ledger(calls.finish_page(claimed.unit, claimed.token, Page(number=1, width=1, height=1)))

    def waiting(self) -> int:
        state = self.ledger(calls.farm("t"))
        return state.queued + state.published


@pytest.fixture
def uneven(farm_settings: Settings) -> Uneven:
    return Uneven(farm_settings)


def test_a_slow_process_takes_what_the_fast_one_would_not_come_to(uneven: Uneven) -> None:
    uneven.submit(6)
    assert isinstance(uneven.take("fast"), ClaimedUnit)
    assert isinstance(uneven.take("slow"), ClaimedUnit), "five wait, and the fast one reads four meanwhile"
    assert uneven.waiting() == 4


def test_it_leaves_the_last_ones_and_the_fast_one_gets_them_in_their_order(uneven: Uneven) -> None:
    uneven.submit(5)
    busy = uneven.take("fast")
    unit = uneven.message()
    assert uneven.take("slow", unit) == "left"
    assert uneven.waiting() == 4, "it waits, and no attempt is spent"
    for _ in range(4):
        uneven.finish(busy)
        busy = uneven.take("fast")
        if unit:
            assert isinstance(busy, ClaimedUnit)
            assert busy.attempt == 1
    uneven.finish(busy)
    assert uneven.waiting() == 0
    assert uneven.ledger(calls.farm("t")).stats["jobs_succeeded"] == 5


def test_where_the_fast_one_is_free_it_gets_it_at_once(uneven: Uneven) -> None:
    uneven.submit(1)
    unit = uneven.message()
    assert uneven.take("slow", unit) == "left"
    assert uneven.message() == unit


def test_nobody_faster_is_alive(uneven: Uneven) -> None:
    """The numbers are a few seconds old; a unit waits for one that is gone as long as a lease, and not longer."""
    uneven.submit(1)
    uneven.ledger(calls.farewell("fast", [PROFILE]))
    unit = uneven.message()
    assert uneven.take("slow", unit, lease_s=0.2) == "left"
    assert uneven.message() is None, "nobody is there for it now"
    uneven.ledger.redis.hset(f"{uneven.settings.namespace}:unit:{unit}", "left_since", "1.0")
    uneven.beat("slow")  # hands out what waits
    assert isinstance(uneven.take("slow"), ClaimedUnit)


def test_no_unit_goes_round_for_ever(uneven: Uneven) -> None:
    """A fast process that lives and takes nothing (its pool hangs, say) is waited for so many times and no more."""
    uneven.submit(1)
    for _ in range(50):
        if isinstance(uneven.take("slow"), ClaimedUnit):
            return
    raise AssertionError("the slow process never got it")


def test_pages_of_a_long_document_that_stand_in_no_lane_yet_count(uneven: Uneven) -> None:
    upload = calls.Upload("t/doc", "application/pdf", 10**6, plan=True)
    submission = Submission(ocr=OcrOptions(profile=PROFILE), cache=CacheMode.OFF)
    call = calls.submit(tenant="t", upload=upload, submission=submission, cache_key="", settings=uneven.settings)
    uneven.ledger(call)
    plan = uneven.take("fast")
    assert isinstance(plan, ClaimedUnit)
    uneven.ledger(pace_calls.leave({PROFILE: {"slow": 20, "fast": 0}}, sweep_s=600))
    assert uneven.ledger(calls.finish_plan(plan.unit, plan.token, range(1, 61), 60))
    assert isinstance(uneven.take("slow"), ClaimedUnit), "sixty pages wait, sixteen of them in the lane"


def test_without_numbers_nothing_is_left(uneven: Uneven) -> None:
    uneven.ledger(pace_calls.leave({}, sweep_s=600))
    uneven.submit(1)
    assert isinstance(uneven.take("slow"), ClaimedUnit)
    assert uneven.ledger(pace_calls.processes()).keys() == {"slow", "fast"}
