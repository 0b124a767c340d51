"""Messages that die with the worker that had taken them out of Redis: the sweep publishes them again, and only them."""

from __future__ import annotations

import json
import time

import pytest

from ocrfarm_shared.contracts import CacheMode, OcrOptions, Submission
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.settings import Settings

PROFILE = "accurate-int8"
LEASE_S = 0.3


class Farm:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings.model_copy(update={"heartbeat_s": 0.1, "lease_s": LEASE_S})
        self.ledger = Ledger.open(self.settings)
        self.queue = f"{settings.namespace}:q:{PROFILE}"
        self.ledger(calls.heartbeat("p", {}, lease_s=600))

    def submit(self, content: str) -> None:
        upload = calls.Upload(f"default/{content}", "image/png", 1, False)
        submission = Submission(ocr=OcrOptions(profile=PROFILE), cache=CacheMode.OFF)
        self.ledger(
            calls.submit(tenant="default", upload=upload, submission=submission, cache_key="", settings=self.settings)
        )

    def sweep(self) -> int:
        """After a lease's time; how many it published again."""
        time.sleep(LEASE_S + 0.05)
        return self.ledger(calls.sweep(self.settings)).republished


@pytest.fixture
def farm(farm_settings: Settings) -> Farm:
    return Farm(farm_settings)


def test_one_that_is_lost_again_and_again_comes_back_as_quickly_each_time(farm: Farm) -> None:
    """It was published at growing ages once: a farm whose pools died again and again did nothing for minutes, with a full backlog."""
    farm.submit("a")
    for _ in range(5):
        assert farm.ledger.redis.rpop(farm.queue)
        assert farm.sweep() == 1
        assert farm.ledger.redis.llen(farm.queue) == 1


def test_what_is_still_in_the_queue_only_waits(farm: Farm) -> None:
    farm.submit("a")
    farm.submit("b")
    assert farm.ledger.redis.llen(farm.queue) == 2
    assert farm.sweep() == 0
    taken = farm.ledger.redis.rpop(farm.queue)
    assert taken
    assert farm.sweep() == 1
    assert farm.sweep() == 0
    assert farm.ledger.redis.llen(farm.queue) == 2


def test_a_message_that_celery_put_back_is_seen_too(farm: Farm) -> None:
    """A pool that stops gives what it holds back to the queue, through Python's json: with other blanks than the ledger writes."""
    farm.submit("a")
    taken = farm.ledger.redis.rpop(farm.queue)
    assert taken
    farm.ledger.redis.rpush(farm.queue, json.dumps(json.loads(taken)))
    assert farm.sweep() == 0
    assert farm.ledger.redis.llen(farm.queue) == 1
