"""Whose page is next: tenants take turns, and whoever has nothing else here does not stand behind what others have published."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from ocrfarm_shared.contracts import CacheMode, OcrOptions, Page, Priority, Submission
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.settings import Settings

PROFILE = "accurate-int8"


class Farm:
    """`slots` processes that read one page each; `step` lets the one that has read longest take the next message."""

    def __init__(self, settings: Settings, slots: int) -> None:
        self.settings, self.ledger = settings, Ledger.open(settings)
        self.reading: list[ClaimedUnit] = []
        self.slots, self.sent = slots, 0
        for n in range(slots):
            self.ledger(calls.heartbeat(f"p{n}", {}, lease_s=600))

    def submit(self, tenant: str, count: int = 1, priority: Priority = Priority.NORMAL) -> None:
        for _ in range(count):
            self.sent += 1
            self.ledger(
                calls.submit(
                    tenant=tenant,
                    upload=calls.Upload(f"{tenant}/{self.sent}", "image/png", 1, False),
                    submission=Submission(
                        ocr=OcrOptions(profile=PROFILE), cache=CacheMode.OFF, priority=priority, tag=tenant
                    ),
                    cache_key="",
                    settings=self.settings,
                )
            )

    def step(self) -> str:
        """The tenant whose page is begun now."""
        if len(self.reading) >= self.slots:
            done = self.reading.pop(0)
            assert self.ledger(calls.finish_page(done.unit, done.token, Page(number=1, width=1, height=1)))
        message = self.ledger.redis.rpop(f"{self.settings.namespace}:q:{PROFILE}")
        assert isinstance(message, bytes), "nothing is published although pages wait"
        unit = json.loads(json.loads(message)["body"])[0][0]
        claimed = self.ledger(calls.claim(unit, owner="task", node="node", lease_s=600))
        assert isinstance(claimed, ClaimedUnit)
        self.reading.append(claimed)
        return claimed.tenant

    def steps(self, count: int) -> str:
        return "".join(self.step() for _ in range(count))


@pytest.fixture
def farm(farm_settings: Settings) -> Farm:
    return Farm(farm_settings, slots=2)


def test_a_single_page_is_the_next_although_a_bulk_is_published(farm: Farm) -> None:
    farm.submit("a", 20)
    assert farm.steps(4) == "aaaa"
    for _ in range(3):
        farm.submit("b")
        assert farm.step() == "b"
        assert farm.steps(3) == "aaa"


def test_whoever_has_a_page_here_already_waits_for_his_turn(farm: Farm) -> None:
    farm.submit("a", 20)
    farm.steps(4)
    farm.submit("b", 6)
    order = farm.steps(13)
    assert order[0] == "b"
    assert order[1:3] == "aa", "only the first of them went before what was published"
    assert 4 <= Counter(order)["b"] <= 6, order


def test_two_bulks_take_turns(farm: Farm) -> None:
    farm.submit("a", 30)
    farm.steps(4)
    farm.submit("b", 30)
    assert 9 <= Counter(farm.steps(20))["a"] <= 11


def test_a_crowd_of_single_pages_starves_nobody(farm_settings: Settings) -> None:
    """Each of the crowd sends its next page when the last was begun: a bulk gets its turns all the same."""
    farm = Farm(farm_settings, slots=4)
    farm.submit("a", 60)
    farm.steps(8)
    order = []
    crowd = "cdefgh"
    for tenant in crowd:
        farm.submit(tenant)
    for _ in range(50):
        order.append(farm.step())
        if order[-1] in crowd:
            farm.submit(order[-1])
    shares = Counter(order)
    assert shares["a"] >= 50 // (2 * (len(crowd) + 1)), shares
    assert min(shares[tenant] for tenant in crowd) >= 2, shares


def test_a_bulk_of_one_page_is_no_single_page(farm: Farm) -> None:
    farm.submit("a", 20)
    farm.steps(4)
    farm.submit("b", priority=Priority.BULK)
    assert farm.steps(3) == "aaa"
