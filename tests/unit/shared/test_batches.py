"""Batches in the ledger: what was taken ends, counts are right, nobody closes twice, nobody sees another tenant's."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ocrfarm_shared.batches import BatchState, BatchView
from ocrfarm_shared.contracts import CacheMode, JobState, OcrOptions, Page, Submission
from ocrfarm_shared.errors import EmptyFile, Unreadable
from ocrfarm_shared.ledger import Ledger, batch_calls, calls
from ocrfarm_shared.ledger.calls import Submitted
from ocrfarm_shared.ledger.limits import Limits
from ocrfarm_shared.ledger.place import Place
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.queue import queue_name
from ocrfarm_shared.settings import Settings

PROFILE = "accurate"


class Bench:
    """A farm driven by hand, and one batch of tenant ann's on it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger.open(settings)
        self.ledger(calls.heartbeat("p", {}, lease_s=600))
        self.batch = self.open()

    def open(self, tenant: str = "ann", key: str | None = None, webhook: str | None = None, named: str = "") -> str:
        submission = Submission(ocr=OcrOptions(profile=PROFILE), webhook=webhook)
        call = batch_calls.create(
            tenant=tenant, submission=submission, settings=self.settings, idempotency_key=key, idempotency_print=named
        )
        return self.ledger(call).id

    def add(
        self, content: str = "a", *, tenant: str = "ann", key: str | None = None, most: int = 1000, use: bool = True
    ) -> Submitted:
        upload = calls.Upload(f"{tenant}/{content * 64}", "image/png", 1, plan=False)
        submission = Submission(ocr=OcrOptions(profile=PROFILE), cache=CacheMode.USE if use else CacheMode.OFF)
        call = calls.submit(
            tenant=tenant,
            upload=upload,
            submission=submission,
            cache_key=f"{tenant}{content}",
            settings=self.settings,
            place=Place(self.batch, most, key, content),
        )
        return self.ledger(call)

    def refuse(self, key: str | None = None, most: int = 1000) -> batch_calls.Refused:
        place = Place(self.batch, most, key, "x")
        call = batch_calls.refuse(
            tenant="ann",
            limits=Limits.of(self.settings),
            upload_bytes=0,
            place=place,
            filename="bad.txt",
            failure=EmptyFile().failure(),
        )
        return self.ledger(call)

    def take(self) -> ClaimedUnit:
        raw = self.ledger.redis.rpop(queue_name(self.settings.namespace, PROFILE))
        assert raw is not None, "nothing is published"
        unit = json.loads(json.loads(raw)["body"])[0][0]
        got = self.ledger(calls.claim(unit, owner="t", node="n", lease_s=600))
        assert isinstance(got, ClaimedUnit), got
        return got

    def read(self) -> None:
        got = self.take()
        assert self.ledger(calls.finish_page(got.unit, got.token, Page(number=1, width=1, height=1)))

    def fail(self) -> None:
        got = self.take()
        self.ledger(calls.fail(got.unit, Unreadable(), token=got.token, max_attempts=1))

    def close(self) -> str:
        return self.ledger(batch_calls.close("ann", self.batch))

    def view(self) -> BatchView:
        return self.ledger(batch_calls.view("ann", [self.batch]))[0].view

    def counts(self) -> dict[str, int]:
        return {name: n for name, n in self.view().counts.model_dump().items() if n}

    def items(self, order: batch_calls.Order = "number", after: int = 0) -> list[tuple[int, str | None]]:
        listed = self.ledger(batch_calls.items("ann", self.batch, order=order, after=after))
        assert listed is not None
        return [(one.item.number, one.item.state) for one in listed.items]

    def kept(self) -> set[str]:
        return {key.decode() for key in self.ledger.redis.scan_iter(f"{self.settings.namespace}:*batch*")}


@pytest.fixture
def bench(farm_settings: Settings) -> Iterator[Bench]:
    made = Bench(farm_settings)
    yield made
    made.ledger.close()


def test_a_batch_goes_from_open_to_its_end(bench: Bench) -> None:
    assert bench.view().state is BatchState.OPEN
    assert [bench.add(c).outcome for c in "ab"] == ["new", "new"]
    assert bench.counts() == {"total": 2, "queued": 2}
    first = bench.take()
    assert bench.counts() == {"total": 2, "queued": 1, "running": 1}
    assert bench.ledger(calls.finish_page(first.unit, first.token, Page(number=1, width=1, height=1)))
    assert bench.view().state is BatchState.OPEN
    assert bench.close() == "closed"
    assert bench.view().state is BatchState.RUNNING
    assert bench.close() == "same"
    bench.read()
    view = bench.view()
    assert (view.state, view.counts.succeeded, view.counts.running) == (BatchState.SUCCEEDED, 2, 0)
    assert view.ended_at is not None
    assert bench.add("c").outcome == "closed"
    assert bench.refuse().outcome == "closed"


def test_partial_failed_and_empty(bench: Bench) -> None:
    bench.add("a")
    assert bench.refuse().number == 2
    bench.close()
    bench.read()
    assert bench.view().state is BatchState.PARTIAL
    assert bench.counts() == {"total": 2, "succeeded": 1, "refused": 1}
    assert bench.items("troubled") == [(2, JobState.FAILED)]
    bench.batch = bench.open()
    bench.add("b")
    bench.close()
    bench.fail()
    assert bench.view().state is BatchState.FAILED
    bench.batch = bench.open()
    bench.close()
    assert bench.view().state is BatchState.SUCCEEDED


def test_items_by_number_and_in_the_order_in_which_they_end(bench: Bench) -> None:
    for content in "abc":
        bench.add(content)
    bench.refuse()
    one, two = bench.take(), bench.take()
    for got in (two, one):
        bench.ledger(calls.finish_page(got.unit, got.token, Page(number=1, width=1, height=1)))
    assert [number for number, _ in bench.items()] == [1, 2, 3, 4]
    assert [number for number, _ in bench.items(after=2)] == [3, 4]
    assert [number for number, _ in bench.items("ended")] == [4, 2, 1]
    assert bench.items("ended", 1) == [(2, JobState.SUCCEEDED), (1, JobState.SUCCEEDED)]
    assert bench.items("ended", 3) == []


def test_cache_hits_and_joined_runs_count_once(bench: Bench) -> None:
    assert bench.add("a").outcome == "new"
    assert bench.add("a").outcome == "joined"
    got = bench.take()
    assert bench.counts() == {"total": 2, "running": 2}
    assert bench.add("a").outcome == "joined"
    assert bench.counts() == {"total": 3, "running": 3}
    bench.ledger(calls.finish_page(got.unit, got.token, Page(number=1, width=1, height=1)))
    assert bench.add("a").outcome == "hit"
    assert bench.counts() == {"total": 4, "succeeded": 4}
    bench.close()
    assert bench.view().state is BatchState.SUCCEEDED


def test_the_same_item_key_is_the_same_item(bench: Bench) -> None:
    first = bench.add("a", key="k1")
    again = bench.add("a", key="k1")
    assert (again.outcome, again.job_id) == ("same", first.job_id)
    assert bench.add("b", key="k1").outcome == "conflict"
    assert (bench.refuse("k2").number, bench.refuse("k2").outcome) == (2, "same")
    assert bench.counts()["total"] == 2
    bench.close()
    assert bench.add("a", key="k1").outcome == "same"  # also after the batch was closed
    bench.ledger(calls.delete("ann", first.job_id))
    assert bench.add("a", key="k1").outcome == "item"


def test_the_same_idempotency_key_is_the_same_batch(bench: Bench) -> None:
    one = bench.open(key="k", named="p")
    assert bench.open(key="k", named="p") == one
    conflict = batch_calls.create(
        tenant="ann",
        submission=Submission(),
        settings=bench.settings,
        idempotency_key="k",
        idempotency_print="other",
    )
    assert bench.ledger(conflict).outcome == "conflict"
    assert bench.open(tenant="bob", key="k", named="p") != one


def test_no_more_items_than_the_farm_takes(bench: Bench) -> None:
    assert bench.add("a", most=2).outcome == "new"
    assert bench.refuse(most=2).outcome == "new"
    assert bench.add("b", most=2).outcome == bench.refuse(most=2).outcome == "batch_full"


def test_another_tenants_batch_is_none(bench: Bench) -> None:
    bench.add("a")
    assert bench.ledger(batch_calls.view("bob", [bench.batch])) == []
    assert bench.ledger(batch_calls.items("bob", bench.batch)) is None
    assert bench.ledger(batch_calls.close("bob", bench.batch)) == "unknown"
    assert bench.ledger(batch_calls.stop("bob", bench.batch, "delete")) == "unknown"
    assert bench.ledger(batch_calls.list_batches("bob")).ids == []
    assert bench.ledger(batch_calls.list_batches("ann")).ids == [bench.batch]
    assert bench.add("a", tenant="bob").outcome == "no_batch"


def test_cancel(bench: Bench) -> None:
    for content in "abc":
        bench.add(content)
    bench.read()
    assert bench.ledger(batch_calls.stop("ann", bench.batch, "cancel")) == "stopping"
    assert bench.add("d").outcome == "closed"
    while bench.ledger(batch_calls.stopping(bench.batch)):
        pass
    assert bench.view().state is BatchState.CANCELLED
    assert bench.counts() == {"total": 3, "succeeded": 1, "cancelled": 2}
    assert bench.ledger(calls.farm("ann")).active_jobs == 0
    assert bench.ledger(batch_calls.stop("ann", bench.batch, "cancel")) == "ended"


def test_a_stop_that_nobody_finished_is_the_dispatchers(bench: Bench) -> None:
    for content in "abc":
        bench.add(content)
    bench.ledger(batch_calls.stop("ann", bench.batch, "delete"))
    assert bench.ledger(batch_calls.view("ann", [bench.batch])) == []
    bench.ledger.redis.zadd(f"{bench.settings.namespace}:batches_stopping", {bench.batch: 1})
    tended = bench.ledger(batch_calls.tend(bench.settings))
    assert tended.stopped == 1
    assert bench.kept() == set()
    farm = bench.ledger(calls.farm("ann"))
    assert (farm.active_jobs, farm.queued) == (0, 0)
    assert bench.ledger(calls.list_jobs("ann")).ids == []


def test_a_batch_that_nobody_closes_is_closed(bench: Bench) -> None:
    bench.add("a")
    assert bench.ledger(batch_calls.tend(bench.settings)).closed == 0
    left = bench.view().closes_at
    assert left is not None
    bench.ledger.redis.zadd(f"{bench.settings.namespace}:batches_open", {bench.batch: 1})
    assert bench.ledger(batch_calls.tend(bench.settings)).closed == 1
    assert bench.view().state is BatchState.RUNNING
    bench.read()
    assert bench.view().state is BatchState.SUCCEEDED


def test_jobs_that_ended_or_went_unseen_are_counted(bench: Bench) -> None:
    """As a worker of a release without batches ends them; as records go from a farm that stood still."""
    ended, gone = bench.add("a").job_id, bench.add("b").job_id
    bench.close()
    space = bench.settings.namespace
    bench.ledger.redis.hset(f"{space}:job:{ended}", "state", "succeeded")
    bench.ledger.redis.delete(f"{space}:job:{gone}")
    bench.ledger.redis.zadd(f"{space}:batches_live", {bench.batch: 1})
    assert bench.ledger(batch_calls.tend(bench.settings)).mended == 2
    assert bench.view().state is BatchState.PARTIAL
    assert bench.items() == [(1, JobState.SUCCEEDED), (2, None)]


def test_files_that_became_no_job_are_kept_in_bounds(bench: Bench) -> None:
    """Each is half a kilobyte for as long as its batch: a zip of 100,000 files that are nothing must not fill Redis for all others."""
    bench.settings = bench.settings.model_copy(update={"tenant_records": 3})
    assert [bench.refuse(f"k{n}").outcome for n in range(4)] == ["new", "new", "new", "quota"]
    over = bench.refuse("k4")
    assert over.refusal is not None
    assert (over.refusal.limit, bench.counts()) == ("refused_items", {"total": 3, "refused": 3})
    assert bench.refuse("k1").outcome == "same"  # it is there already, and takes no room
    other, bench.batch = bench.batch, bench.open()
    assert bench.refuse().outcome == "quota"  # of the tenant, whatever the batch
    assert bench.add("a").outcome == "new"
    assert bench.ledger(batch_calls.stop("ann", other, "delete")) == "stopping"
    assert bench.ledger(batch_calls.stopping(other)) == 0
    assert [bench.refuse().outcome for _ in range(4)] == ["new", "new", "new", "quota"]
    kept = f"{bench.settings.namespace}:refused_items:ann"
    names = sorted(name.decode() for name in bench.ledger.redis.zrange(kept, 0, -1))
    assert names == [f"{bench.batch}:{n}" for n in (2, 3, 4)]
    assert 0 < bench.ledger.redis.ttl(kept) <= bench.settings.result_ttl_s + bench.settings.record_ttl_s


def test_they_count_as_submissions(bench: Bench) -> None:
    bench.settings = bench.settings.model_copy(update={"tenant_jobs_per_minute": 2})
    assert [bench.refuse().outcome for _ in range(3)] == ["new", "new", "quota"]
    assert bench.add("a").outcome == "quota"


def test_an_ended_batch_expires_and_tells_its_webhook(bench: Bench) -> None:
    bench.batch = bench.open(webhook="https://example.org/hook", key="k")
    bench.add("a", key="i")
    bench.refuse()
    bench.close()
    bench.read()
    row = json.loads(bench.ledger.redis.lindex(f"{bench.settings.namespace}:outbox", 0))
    assert (row["kind"], row["id"], row["state"]) == ("batch", bench.batch, "partial")
    for key in bench.kept():
        if bench.batch in key:
            assert bench.ledger.redis.ttl(key) > 0, key


def test_batches_that_ran_out_unseen_are_no_part_of_the_quota(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their records are gone before the list that holds them is looked through."""
    monkeypatch.setattr(batch_calls, "MOST_BATCHES", 3)
    gone = [bench.open() for _ in range(2)]
    assert bench.open() == ""  # the first is `bench.batch`
    bench.ledger.redis.delete(*(f"{bench.settings.namespace}:batch:{batch}" for batch in gone))
    assert all(bench.open() for _ in gone)
    assert bench.open() == ""
