"""What the ledger lets go of, and what it costs: a real Redis, the same calls that gateways, workers and dispatchers make."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ocrfarm_shared.contracts import OcrOptions, Page, Submission
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.calls import Submitted
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.settings import Settings

TENANT = "default"
PROFILE = "accurate-int8"


class Bench:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger.open(settings)

    def key(self, *parts: str) -> str:
        return ":".join([self.settings.namespace, *parts])

    def submit(self, content: str, idempotency_key: str | None = None) -> Submitted:
        return self.ledger(
            calls.submit(
                tenant=TENANT,
                upload=calls.Upload(f"{TENANT}/{content}", "image/png", 1, False),
                submission=Submission(ocr=OcrOptions(profile=PROFILE), filename="a page that was scanned.png"),
                cache_key=content,
                settings=self.settings,
                idempotency_key=idempotency_key,
                idempotency_print=content,
            )
        )

    def live(self, process: str) -> None:
        self.ledger(calls.heartbeat(process, {}, lease_s=15))

    def deliver(self) -> list[ClaimedUnit | str]:
        """Claim whatever is published, as workers do; what that publishes, too."""
        out: list[ClaimedUnit | str] = []
        while isinstance(message := self.ledger.redis.rpop(self.key("q", PROFILE)), bytes):
            unit = json.loads(json.loads(message)["body"])[0][0]
            out.append(self.ledger(calls.claim(unit, owner="task", node="node", lease_s=15)))
        return out

    def read(self) -> None:
        for claimed in self.deliver():
            assert isinstance(claimed, ClaimedUnit)
            page = Page(number=claimed.number, width=1, height=1)
            assert self.ledger(calls.finish_page(claimed.unit, claimed.token, page))

    def expire(self, job_id: str) -> None:
        """Its result's time is over."""
        self.ledger.redis.zadd(self.key("expiry"), {job_id: 1})
        self.ledger(calls.sweep(self.settings))


@pytest.fixture
def bench(farm_settings: Settings) -> Iterator[Bench]:
    made = Bench(farm_settings)
    yield made
    made.ledger.close()


@pytest.mark.parametrize("how", ["delete", "cancel"])
def test_a_published_page_that_nobody_wants_makes_room_when_it_is_delivered(bench: Bench, how: str) -> None:
    bench.live("n:1")
    unwanted = [bench.submit(f"unwanted{i}").job_id for i in range(2)]  # two a slot: all that may be published
    bench.submit("wanted")
    for job in unwanted:
        if how == "delete":
            bench.ledger(calls.delete(TENANT, job))
        else:
            bench.ledger(calls.cancel(TENANT, job))
    first, second, third = bench.deliver()
    assert (first, second) == ("gone", "gone")
    assert isinstance(third, ClaimedUnit)


def test_an_expired_result_goes_with_its_last_job_alone(bench: Bench) -> None:
    jobs = [bench.submit("same").job_id for _ in range(3)]
    bench.read()
    run = bench.ledger(calls.view(TENANT, jobs[:1]))[0].run_id
    for job in jobs[:2]:
        bench.expire(job)
        assert len(bench.ledger(calls.pages(run))) == 1
    bench.expire(jobs[2])
    assert bench.ledger(calls.pages(run)) == []
    assert [record.gone for record in bench.ledger(calls.view(TENANT, jobs))] == [True] * 3


def test_a_sweep_does_not_look_at_all_the_jobs_of_a_run_for_each_of_them(bench: Bench) -> None:
    jobs = [bench.submit("same").job_id for _ in range(300)]
    bench.read()
    bench.ledger.redis.zadd(bench.key("expiry"), dict.fromkeys(jobs[:100], 1.0))
    before = calls_so_far(bench)
    assert bench.ledger(calls.sweep(bench.settings)).expired == 100
    assert calls_so_far(bench).get("cmdstat_smembers", 0) - before.get("cmdstat_smembers", 0) < 10


def calls_so_far(bench: Bench) -> dict[str, int]:
    return {name: int(said["calls"]) for name, said in bench.ledger.redis.info("commandstats").items()}


def test_a_record_that_answers_410_is_kept_small(bench: Bench) -> None:
    job = bench.submit("one").job_id
    bench.read()
    whole = bench.ledger.redis.memory_usage(bench.key("job", job))
    bench.expire(job)
    small = bench.ledger.redis.memory_usage(bench.key("job", job))
    assert whole is not None
    assert small is not None
    assert small < whole / 2
    record = bench.ledger(calls.view(TENANT, [job]))[0]
    assert record.gone
    assert record.view.filename == "a page that was scanned.png"
    assert 0 < bench.ledger.redis.ttl(bench.key("job", job)) <= bench.settings.record_ttl_s + 3600


def test_uploads_of_jobs_whose_records_ran_out_unseen_are_freed(bench: Bench) -> None:
    """A farm that stood still for longer than its records live: Redis forgot the job, nobody swept it."""
    job = bench.submit("old").job_id
    bench.read()
    kept = f"{TENANT}/kept"
    bench.submit("kept")
    bench.ledger.redis.delete(bench.key("job", job))
    bench.expire(job)
    assert bench.ledger(calls.reap(grace_s=0, orphans=[f"{TENANT}/old", kept])) == [f"{TENANT}/old"]
    assert not bench.ledger.redis.exists(bench.key("blob", f"{TENANT}/old"))
    assert bench.ledger.redis.exists(bench.key("blob", kept))


def test_what_one_dispatcher_unlinks_is_not_given_to_another(bench: Bench) -> None:
    """One that led until now may still be at it when the next looks for orphans."""
    job = bench.submit("old").job_id
    bench.read()
    bench.ledger(calls.delete(TENANT, job))
    blob = f"{TENANT}/old"
    assert bench.ledger(calls.reap(grace_s=0)) == [blob]
    assert bench.ledger(calls.reap(grace_s=0, orphans=[blob])) == []
    assert bench.ledger(calls.reap(grace_s=0, done=[blob], orphans=[blob])) == [blob]


def test_deleting_a_job_leaves_the_later_one_of_its_idempotency_key_alone(bench: Bench) -> None:
    first = bench.submit("one", "key")
    bench.ledger(calls.cancel(TENANT, first.job_id))
    bench.ledger.redis.delete(bench.key("idem", TENANT, "key"))  # its time is over
    second = bench.submit("one", "key")
    bench.ledger(calls.delete(TENANT, first.job_id))
    assert bench.submit("one", "key").job_id == second.job_id
    bench.ledger(calls.delete(TENANT, second.job_id))
    assert bench.submit("one", "key").outcome == "new"
