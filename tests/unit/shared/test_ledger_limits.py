"""What a tenant may send and the farm takes, decided inside of `submit`: on a real Redis, with the rates that it measured itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ocrfarm_shared.contracts import CacheMode, OcrOptions, Page, Priority, Submission
from ocrfarm_shared.keys import Quota
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.calls import Submitted
from ocrfarm_shared.ledger.limits import Limits
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.settings import Settings

PROFILE = "accurate"
NONE = Limits(0, 0, 0, 0, 1_000_000, 0)


class Desk:
    """A ledger at which tenants hand in documents, and hands that read them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger.open(settings)
        self.made = 0

    def key(self, *parts: str) -> str:
        return ":".join((self.settings.namespace, *parts))

    def submit(self, limits: Limits, tenant: str = "a", name: str = "", size: int = 1, **chosen: Any) -> Submitted:
        self.made += 1
        name = name or f"document{self.made}"
        return self.ledger(
            calls.submit(
                tenant=tenant,
                upload=calls.Upload(f"{tenant}/{name}", "image/png", size, False),
                submission=Submission(ocr=OcrOptions(profile=PROFILE), **chosen),
                cache_key=f"{tenant}-{name}",
                settings=self.settings,
                limits=limits,
            )
        )

    def read_all(self) -> int:
        read = 0
        while isinstance(message := self.ledger.redis.rpop(self.key("q", PROFILE)), bytes):
            unit = json.loads(json.loads(message)["body"])[0][0]
            claimed = self.ledger(calls.claim(unit, owner="task", node="node", lease_s=15))
            if isinstance(claimed, ClaimedUnit):
                page = Page(number=claimed.number, width=1, height=1)
                assert self.ledger(calls.finish_page(claimed.unit, claimed.token, page))
                read += 1
        return read

    def expire(self, *jobs: str) -> None:
        self.ledger.redis.zadd(self.key("expiry"), dict.fromkeys(jobs, 1.0))
        self.ledger(calls.sweep(self.settings))

    def redis_keys(self) -> set[str]:
        return {bytes(name).decode() for name in self.ledger.redis.scan_iter(self.key("*"))}


@pytest.fixture
def desk(farm_settings: Settings) -> Iterator[Desk]:
    made = Desk(farm_settings)
    yield made
    made.ledger.close()


def refused(done: Submitted) -> tuple[str, str]:
    assert done.refusal is not None, done
    assert done.record is None
    assert 1 <= done.refusal.seconds <= 86400
    return done.outcome, done.refusal.limit


def test_jobs_a_minute(desk: Desk) -> None:
    limits = replace(NONE, jobs_per_minute=5)
    bucket = desk.key("quota", "a", "jobs_per_minute")

    def leave(seconds: float) -> None:  # so much is in the bucket now; this machine may stand still for a while
        now, _ = desk.ledger.redis.time()
        desk.ledger.redis.set(bucket, f"{now + seconds:.6f}")

    began, _ = desk.ledger.redis.time()
    assert [desk.submit(limits).outcome for _ in range(5)] == ["new"] * 5
    kept = desk.ledger.redis.get(bucket)
    assert isinstance(kept, bytes)
    assert began + 60 <= float(kept) <= desk.ledger.redis.time()[0] + 61
    leave(59.9)
    sixth = desk.submit(limits)
    assert refused(sixth) == ("quota", "jobs_per_minute")
    assert sixth.refusal is not None
    assert sixth.refusal.seconds <= 12  # one in twelve seconds
    assert desk.submit(limits, tenant="b").outcome == "new"
    leave(61)
    quick = replace(NONE, jobs_per_minute=600)  # another key of the same tenant may do more, and its bucket is the same
    assert desk.submit(quick).refusal is not None
    leave(47)
    assert desk.submit(limits).outcome == "new"
    leave(49)
    assert refused(desk.submit(limits)) == ("quota", "jobs_per_minute")


def test_refusals_cost_no_quota_and_leave_nothing(desk: Desk) -> None:
    limits = replace(NONE, bytes_per_day=1)
    desk.submit(limits)
    before = desk.ledger.redis.get(desk.key("quota", "a", "bytes_per_day"))
    keys = desk.redis_keys()
    for _ in range(20):
        refused(desk.submit(limits))
    assert desk.ledger.redis.get(desk.key("quota", "a", "bytes_per_day")) == before
    assert desk.redis_keys() == keys


def test_bytes_a_day_count_what_was_sent_and_hits_too(desk: Desk) -> None:
    limits = replace(NONE, bytes_per_day=1000)
    assert desk.submit(limits, name="one", size=400).outcome == "new"
    desk.read_all()
    assert desk.submit(limits, name="one", size=400).outcome == "hit"
    over = desk.submit(limits, size=300)
    assert refused(over) == ("quota", "bytes_per_day")
    assert over.refusal is not None
    assert 7000 < over.refusal.seconds <= 8640  # a hundred bytes' worth of a day
    assert desk.submit(limits, size=200).outcome == "new"


def test_jobs_under_way_at_once(desk: Desk) -> None:
    limits = replace(NONE, queued=2)
    first = desk.submit(limits, name="same")
    assert desk.submit(limits, name="same").outcome == "joined"
    assert refused(desk.submit(limits)) == ("quota", "queued")
    assert desk.submit(limits, tenant="b").outcome == "new"
    desk.ledger(calls.cancel("a", first.job_id))
    assert desk.submit(limits).outcome == "new"
    desk.read_all()
    assert [desk.submit(limits, name="same").outcome for _ in range(3)] == ["hit"] * 3  # a hit waits for nobody


@pytest.mark.parametrize("how", ["cancel", "hit"])
def test_a_loop_of_jobs_that_end_at_once_does_not_fill_redis(desk: Desk, how: str) -> None:
    limits = replace(NONE, records=20)
    desk.submit(limits, name="known")
    desk.read_all()
    outcomes = []
    for _ in range(40):
        done = desk.submit(limits, name="known" if how == "hit" else "")
        outcomes.append(done.outcome)
        if how == "cancel" and done.record:
            desk.ledger(calls.cancel("a", done.job_id))
    assert outcomes.count("quota") == 21  # 20 are kept, the first of all among them
    last = desk.submit(limits)
    assert refused(last) == ("quota", "records")
    assert desk.submit(limits, tenant="b").outcome == "new"
    newest = desk.ledger(calls.list_jobs("a", limit=1)).ids[0]
    desk.ledger(calls.delete("a", newest))
    assert desk.submit(limits).outcome == "new"


def test_records_that_ran_out_unseen_are_no_part_of_the_quota(desk: Desk) -> None:
    """A farm that stood still for longer than its records live: Redis forgot the jobs, their entries are left."""
    limits = replace(NONE, records=3)
    results = desk.key("results", "a")
    desk.ledger.redis.zadd(results, {f"job_{n}": time.time() - 86400 - n for n in range(5)})
    for _ in range(3):
        assert desk.submit(limits).outcome == "new"
        desk.read_all()
    assert refused(desk.submit(limits)) == ("quota", "records")
    assert desk.ledger.redis.zcard(results) == 3


def test_what_is_still_to_be_read_is_told(desk: Desk) -> None:
    """So that room is kept for it: pages of documents that were opened, and what a page takes by the last ones that were read."""
    asked = desk.ledger(calls.admit("a", NONE))
    assert (asked.active, asked.pages, asked.page_bytes) == (0, 0, 0)
    for _ in range(5):
        desk.submit(NONE)
    assert desk.ledger(calls.admit("a", NONE)).pages == 5
    assert desk.read_all() == 5
    asked = desk.ledger(calls.admit("a", NONE))
    assert asked.pages == 0
    assert 50 < asked.page_bytes < 1000  # empty pages


def test_records_that_answer_410_are_bounded_too(desk: Desk) -> None:
    limits = replace(NONE, records=3)
    for _ in range(30):
        done = desk.submit(limits)
        assert done.outcome == "new"
        desk.ledger(calls.cancel("a", done.job_id))
        desk.expire(done.job_id)
    assert desk.ledger.redis.zcard(desk.key("jobs", "a")) <= 4 * 3 + 1
    assert sum(":job:job_" in name for name in desk.redis_keys()) <= 4 * 3 + 1


def test_the_indices_lose_a_record_when_its_time_is_over(desk: Desk) -> None:
    done = desk.submit(NONE, tag="post")
    desk.read_all()
    desk.expire(done.job_id)
    assert desk.ledger.redis.zscore(desk.key("tag", "a", "post"), done.job_id) is not None  # still 410
    assert desk.ledger(calls.view("a", [done.job_id]))[0].gone
    desk.expire(done.job_id)
    assert desk.ledger(calls.view("a", [done.job_id])) == []
    for index in (desk.key("tag", "a", "post"), desk.key("jobs", "a"), desk.key("expiry"), desk.key("results", "a")):
        assert not desk.ledger.redis.exists(index), index


def test_the_farms_places_and_when_to_come_again(desk: Desk) -> None:
    limits = replace(NONE, max_queued=30)
    for n in range(30):
        assert desk.submit(limits, tenant=f"t{n % 3}").outcome == "new"
    unmeasured = desk.submit(limits)
    assert refused(unmeasured) == ("full", "max_queued")
    assert unmeasured.refusal is not None
    assert unmeasured.refusal.seconds == 30  # nothing has ended yet: the farm has no pace
    assert desk.read_all() == 30
    for _ in range(30):
        desk.submit(limits)
    waits = []
    for _ in range(8):
        done = desk.submit(limits)
        assert done.refusal is not None
        waits.append(done.refusal.seconds)
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]  # who comes after many others waits longer
    # 30 jobs ended in this minute: 60 to 70 s for 30, so two seconds for each who asked
    assert 1 <= waits[0] <= 2.4 * 3
    assert 2 * 4 <= waits[-1] <= 2.4 * 10


def test_an_old_lane_refuses_its_own_tenant_and_priority_alone(desk: Desk) -> None:
    limits = replace(NONE, max_waiting_s=100)
    for _ in range(4):  # two are published, two wait
        desk.submit(limits, priority=Priority.BULK)
    queued = desk.key("queued", PROFILE)
    for unit in desk.ledger.redis.zrange(queued, 0, -1):
        desk.ledger.redis.zadd(queued, {unit: time.time() - 101})
    assert refused(desk.submit(limits, priority=Priority.BULK)) == ("full", "max_waiting_s")
    assert desk.submit(limits).outcome == "new"
    assert desk.submit(limits, tenant="b", priority=Priority.BULK).outcome == "new"


def test_a_thousand_followers_and_then_another_reading(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_FOLLOWERS", 5)
    outcomes = [desk.submit(NONE, name="same").outcome for _ in range(12)]
    assert outcomes == (["new"] + ["joined"] * 4) * 2 + ["new", "joined"]
    assert desk.read_all() == 3
    # Followers that leave do not make room: the script that ends a run looks at each that ever was one.
    first = desk.submit(NONE, name="other")
    for _ in range(4):
        desk.ledger(calls.cancel("a", desk.submit(NONE, name="other").job_id))
    assert desk.submit(NONE, name="other").outcome == "new"
    assert first.outcome == "new"


def test_what_waits_behind_a_mass_cancel_comes_at_once(desk: Desk) -> None:
    cancelled = [desk.submit(NONE).job_id for _ in range(4000)]
    wanted = desk.submit(NONE).job_id
    for job in cancelled:
        desk.ledger(calls.cancel("a", job))
    assert desk.read_all() == 1
    assert desk.ledger(calls.view("a", [wanted]))[0].view.state == "succeeded"


def test_quotas_hold_when_many_gateways_submit_at_once(desk: Desk) -> None:
    limits = replace(NONE, bytes_per_day=1000, queued=25)
    outcomes: list[str] = []

    def many() -> None:
        ledger = Ledger.open(desk.settings)
        for n in range(20):
            call = calls.submit(
                tenant="a",
                upload=calls.Upload(f"a/{threading.get_ident()}-{n}", "image/png", 1, False),
                submission=Submission(ocr=OcrOptions(profile=PROFILE), cache=CacheMode.OFF),
                cache_key="",
                settings=desk.settings,
                limits=limits,
            )
            outcomes.append(ledger(call).outcome)
        ledger.close()

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("new"), outcomes.count("quota")) == (25, 135)


def test_limits_of_a_key_and_of_the_settings(farm_settings: Settings) -> None:
    settings = farm_settings.model_copy(update={"tenant_jobs_per_minute": 7, "tenant_mb_per_day": 2, "max_queued": 11})
    assert Limits.of(settings) == Limits(7, 2_000_000, 0, settings.tenant_records, 11, settings.max_waiting_s)
    assert Limits.of(settings, Quota()).queued == 5  # with keys, one tenant does not fill the whole farm
    mine = Limits.of(settings, Quota(jobs_per_minute=1, bytes_per_day=2, queued=3))
    assert (mine.jobs_per_minute, mine.bytes_per_day, mine.queued) == (1, 2, 3)
