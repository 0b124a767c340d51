"""The ledger on a Redis whose memory is full: nothing new is accepted, and all that frees memory or ends what was accepted goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from tests.conftest import RedisServer

from ocrfarm_shared.contracts import OcrOptions, Page, Submission
from ocrfarm_shared.errors import WorkerLost
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.settings import read_settings


def test_all_but_submitting_goes_on(make_redis: Callable[..., RedisServer]) -> None:
    settings = read_settings({}, redis_url=make_redis().url)
    ledger = Ledger.open(settings)

    def submit(content: str) -> str:
        upload = calls.Upload(f"default/{content * 64}", "image/png", 1, plan=False)
        submission = Submission(ocr=OcrOptions(profile="accurate"))
        made = ledger(
            calls.submit(tenant="default", upload=upload, submission=submission, cache_key=content, settings=settings)
        )
        assert made.record is not None
        return made.job_id

    def claim(run: str) -> ClaimedUnit:
        claimed = ledger(calls.claim(f"{run}:1", owner="task", node="node", lease_s=15))
        assert isinstance(claimed, ClaimedUnit)
        return claimed

    def run_of(job: str) -> str:
        return ledger(calls.view("default", [job]))[0].run_id

    read, failing, waiting, unwanted = (submit(content) for content in "abcd")
    ledger.redis.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.RedisError, match="OOM"):
        submit("e")

    assert ledger(calls.lead("me", seconds=5))
    assert ledger(calls.heartbeat("process", {}, lease_s=15)).state == "idle"
    unit = claim(run_of(read))
    assert ledger(calls.finish_page(unit.unit, unit.token, Page(number=1, width=1, height=1)))
    unit = claim(run_of(failing))
    assert ledger(calls.fail(unit.unit, WorkerLost(), token=unit.token, max_attempts=1)) == "failed"
    assert ledger(calls.cancel("default", unwanted)) == "cancelled"
    assert ledger(calls.delete("default", read)) == "deleted"
    ledger(calls.reap(grace_s=0))
    ledger(calls.farewell("process"))
    states = {job: ledger(calls.view("default", [job]))[0].view.state.value for job in (failing, waiting, unwanted)}
    assert states == {failing: "failed", waiting: "queued", unwanted: "cancelled"}
    ledger.close()


def test_results_expire(make_redis: Callable[..., RedisServer]) -> None:
    """Else a farm that its results have filled would stay full."""
    settings = read_settings({}, redis_url=make_redis().url)
    ledger = Ledger.open(settings)
    upload = calls.Upload("default/" + "a" * 64, "image/png", 1, plan=False)
    job = ledger(
        calls.submit(
            tenant="default", upload=upload, submission=Submission(ocr=OcrOptions(profile="accurate")), cache_key="a",
            settings=settings,
        )
    ).job_id  # fmt: skip
    assert ledger(calls.cancel("default", job)) == "cancelled"
    ledger.redis.zadd("of:expiry", {job: 1})
    ledger.redis.config_set("maxmemory", 1)
    assert ledger(calls.sweep(settings)).expired == 1
    assert ledger(calls.view("default", [job]))[0].gone
    ledger.close()
