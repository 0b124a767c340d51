"""How often a unit is tried is the error's to say, and the farm's to limit."""

from __future__ import annotations

import json

import pytest

from ocrfarm_shared.contracts import JobState, OcrOptions, Submission
from ocrfarm_shared.errors import Internal, OcrFarmError, Timeout, Unreadable, WorkerLost
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.queue import queue_name
from ocrfarm_shared.settings import Settings


@pytest.mark.parametrize(("error", "attempts"), [(Unreadable(), 1), (Timeout(), 2), (WorkerLost(), 3), (Internal(), 3)])
def test_attempts(farm_settings: Settings, error: OcrFarmError, attempts: int) -> None:
    ledger = Ledger.open(farm_settings)
    upload = calls.Upload("default/" + "a" * 64, "image/png", 1, plan=False)
    submission = Submission(ocr=OcrOptions(profile="accurate"))
    job = ledger(
        calls.submit(tenant="default", upload=upload, submission=submission, cache_key="k", settings=farm_settings)
    ).job_id
    made = 0
    while True:
        delayed = f"{farm_settings.namespace}:delayed"
        for unit in ledger.redis.zrange(delayed, 0, -1):
            ledger.redis.zadd(delayed, {unit: 1})  # its pause is over
        ledger(calls.sweep(farm_settings))
        raw = ledger.redis.rpop(queue_name(farm_settings.namespace, "accurate"))
        if raw is None:
            break
        claimed = ledger(calls.claim(json.loads(json.loads(raw)["body"])[0][0], owner="t", node="n", lease_s=60))
        assert isinstance(claimed, ClaimedUnit)
        made = claimed.attempt
        ledger(calls.fail(claimed.unit, error, token=claimed.token, max_attempts=3))
    (record,) = ledger(calls.view("default", [job]))
    assert made == attempts
    assert record.view.state is JobState.FAILED
    assert record.view.error is not None
    assert record.view.error.code == error.code
    (dead,) = ledger(calls.dead_letters("default", job_id=job))
    assert dead.dead == error.dead_letter
    assert len(dead.attempts) == attempts
    ledger.close()
