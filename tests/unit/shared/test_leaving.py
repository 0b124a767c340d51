"""Cancel, deadline and delete at every point of a run: who leaves is gone at once, and a worker reads the page at hand at most."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from ocrfarm_shared.contracts import CacheMode, JobState, OcrOptions, Page, Submission
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.queue import queue_name
from ocrfarm_shared.settings import Settings

PROFILE = "accurate"
PAGES = 40


class Run:
    """One farm with one worker process, driven by hand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger.open(settings)
        self.ledger(calls.heartbeat("p", {}, lease_s=600))

    def submit(self, content: str = "a", *, plan: bool = False, deadline_s: float | None = None) -> str:
        upload = calls.Upload(f"ann/{content * 64}", "image/png", 1, plan)
        submission = Submission(ocr=OcrOptions(profile=PROFILE), cache=CacheMode.USE, deadline_s=deadline_s)
        call = calls.submit(
            tenant="ann", upload=upload, submission=submission, cache_key=content, settings=self.settings
        )
        return self.ledger(call).job_id

    def take(self) -> ClaimedUnit | str:
        raw = self.ledger.redis.rpop(queue_name(self.settings.namespace, PROFILE))
        assert raw is not None, "nothing is published"
        unit = json.loads(json.loads(raw)["body"])[0][0]
        return self.ledger(calls.claim(unit, owner="t", node="n", lease_s=600))

    def held(self) -> ClaimedUnit:
        got = self.take()
        assert isinstance(got, ClaimedUnit), got
        return got

    def next(self) -> ClaimedUnit:
        """The next unit that somebody wants, past messages whose unit nobody does."""
        while not isinstance(got := self.take(), ClaimedUnit):
            assert got == "gone"
        return got

    def finish(self, got: ClaimedUnit) -> bool:
        if got.kind == "plan":
            return self.ledger(calls.finish_plan(got.unit, got.token, range(1, PAGES + 1), PAGES))
        return self.ledger(calls.finish_page(got.unit, got.token, Page(number=got.number, width=1, height=1)))

    def pulse(self, got: ClaimedUnit) -> str:
        return self.ledger(calls.heartbeat("p", {}, lease_s=600, unit=got.unit, token=got.token)).state

    def state(self, job: str) -> JobState:
        return self.ledger(calls.view("ann", [job]))[0].view.state

    def left(self) -> tuple[int, int, int, int]:
        farm = self.ledger(calls.farm("ann"))
        return farm.active_jobs, farm.queued, farm.published, farm.running


@pytest.fixture
def run(farm_settings: Settings) -> Iterator[Run]:
    made = Run(farm_settings)
    yield made
    made.ledger.close()


def cancel(run: Run, job: str) -> None:
    assert run.ledger(calls.cancel("ann", job)) == "cancelled"
    assert run.state(job) is JobState.CANCELLED
    assert run.ledger(calls.cancel("ann", job)) == "ended"


def miss_deadline(run: Run, job: str) -> None:
    deadlines = f"{run.settings.namespace}:deadlines"
    assert run.ledger.redis.zscore(deadlines, job)
    run.ledger.redis.zadd(deadlines, {job: time.time() - 1})
    assert run.ledger(calls.sweep(run.settings)).deadlines == 1
    (record,) = run.ledger(calls.view("ann", [job]))
    assert record.view.state is JobState.FAILED
    assert record.view.error is not None
    assert record.view.error.code == "deadline_exceeded"
    assert run.ledger(calls.dead_letters("ann")) == []


def delete(run: Run, job: str) -> None:
    assert run.ledger(calls.delete("ann", job)) == "deleted"


LEAVE = pytest.mark.parametrize("leave", [cancel, miss_deadline, delete])
Leave = Callable[[Run, str], None]


@LEAVE
def test_while_it_waits(run: Run, leave: Leave) -> None:
    job = run.submit(deadline_s=60)
    leave(run, job)
    other = run.submit("b")
    assert run.finish(run.next())
    assert run.state(other) is JobState.SUCCEEDED
    assert run.left() == (0, 0, 0, 0)


@LEAVE
def test_while_its_page_is_read(run: Run, leave: Leave) -> None:
    job = run.submit(deadline_s=60)
    got = run.held()
    leave(run, job)
    assert run.pulse(got) == "cancelled"
    assert not run.finish(got)
    assert run.left() == (0, 0, 0, 0)


@LEAVE
def test_while_its_pages_are_counted(run: Run, leave: Leave) -> None:
    job = run.submit(plan=True, deadline_s=60)
    got = run.held()
    leave(run, job)
    assert run.pulse(got) == "cancelled"
    assert not run.finish(got)  # no page of it becomes a unit
    assert run.left() == (0, 0, 0, 0)


@LEAVE
def test_in_mid_document_the_worker_is_free_after_the_page_at_hand(run: Run, leave: Leave) -> None:
    job = run.submit(plan=True, deadline_s=60)
    assert run.finish(run.held())
    assert run.finish(run.held())
    got = run.held()
    other = run.submit("b")
    leave(run, job)
    assert run.pulse(got) == "cancelled"
    assert not run.finish(got)
    following = run.next()  # of 38 pages that were left none is read
    assert following.run_id != got.run_id
    assert run.finish(following)
    assert run.state(other) is JobState.SUCCEEDED
    while run.ledger.redis.llen(queue_name(run.settings.namespace, PROFILE)):
        assert run.take() == "gone"
    assert run.left() == (0, 0, 0, 0)
    assert run.ledger.redis.keys(f"{run.settings.namespace}:unit:*") == []


@LEAVE
def test_who_leaves_takes_nothing_from_those_who_stay(run: Run, leave: Leave) -> None:
    """Two follow one run of a document; one leaves in the middle of it."""
    leaves, stays = run.submit(plan=True, deadline_s=60), run.submit(plan=True)
    assert run.finish(run.held())
    got = run.held()
    leave(run, leaves)
    assert run.pulse(got) == "held"
    assert run.finish(got)
    for _ in range(PAGES - 1):
        assert run.finish(run.held())
    assert run.state(stays) is JobState.SUCCEEDED
    assert run.ledger(calls.view("ann", [stays]))[0].view.progress.pages_done == PAGES
    if leave is not delete:
        assert run.state(leaves) in (JobState.CANCELLED, JobState.FAILED)
    assert run.left() == (0, 0, 0, 0)


@LEAVE
def test_the_last_to_leave_ends_the_run_and_who_comes_then_starts_anew(run: Run, leave: Leave) -> None:
    first, second = run.submit(deadline_s=60), run.submit(deadline_s=60)
    got = run.held()
    leave(run, first)
    assert run.pulse(got) == "held"
    leave(run, second)
    assert run.pulse(got) == "cancelled"
    third = run.submit()
    assert not run.finish(got)
    again = run.next()
    assert again.run_id != got.run_id
    assert run.finish(again)
    assert run.state(third) is JobState.SUCCEEDED
