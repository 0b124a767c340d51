"""The ledger and its nodes: one that is drained takes nothing, what it popped is others' at once; what is given back costs no attempt."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ocrfarm_shared.contracts import OcrOptions, Page, Submission
from ocrfarm_shared.ledger import Ledger, calls, node_calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.nodes import farms_settings
from ocrfarm_shared.settings import Settings, SettingsError, read_settings


class Farm:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger.open(settings)
        self.key = f"{settings.namespace}:q:accurate"

    def submit(self, n: int = 1) -> None:
        for _ in range(n):
            upload = calls.Upload("ann/" + "a" * 64, "image/png", 1, plan=False)
            asked = Submission(ocr=OcrOptions(profile="accurate"), cache="off")
            self.ledger(
                calls.submit(tenant="ann", upload=upload, submission=asked, cache_key="k", settings=self.settings)
            )

    def beat(self, node: str, process: str = "1") -> calls.Pulse:
        return self.ledger(calls.heartbeat(f"{node}:{process}", {"node": node}, lease_s=15))

    def pop(self) -> str | None:
        """The unit of the next message, as a pool takes it."""
        message: Any = self.ledger.redis.rpop(self.key)
        return None if message is None else json.loads(json.loads(message)["body"])[0][0]

    def claim(self, node: str) -> ClaimedUnit | calls.Refused | None:
        unit = self.pop()
        return unit and self.ledger(calls.claim(unit, owner="task", node=node, lease_s=15))

    def state(self) -> Any:
        return self.ledger(calls.farm("ann"))


@pytest.fixture
def farm(farm_settings: Settings) -> Iterator[Farm]:
    made = Farm(farm_settings)
    yield made
    made.ledger.close()


def test_a_drained_node_takes_nothing_and_nothing_is_lost(farm: Farm) -> None:
    farm.beat("pi")
    farm.beat("vm")
    farm.submit(2)
    held = farm.claim("pi")
    assert isinstance(held, ClaimedUnit)
    farm.ledger(node_calls.drain("pi", on=True))
    assert farm.claim("pi") == "drained"
    assert farm.beat("pi").drained
    assert not farm.beat("vm").drained
    other = farm.claim("vm")  # the message that the drained node took is in the queue again
    assert isinstance(other, ClaimedUnit)
    assert other.attempt == 1
    for unit in (held, other):  # what it held it may finish
        assert farm.ledger(calls.finish_page(unit.unit, unit.token, Page(number=1, width=1, height=1)))
    assert (farm.state().active_jobs, farm.pop()) == (0, None)


def test_a_drained_node_is_no_slot_and_is_still_seen(farm: Farm) -> None:
    farm.beat("pi")
    farm.ledger(node_calls.drain("pi", on=True))
    assert (farm.state().drained, farm.state().resting) == ({"pi"}, frozenset())
    farm.beat("pi")
    state = farm.state()
    assert (state.slots, list(state.processes), state.drained, state.resting) == (0, ["pi:1"], {"pi"}, {"pi:1"})
    farm.ledger(node_calls.drain("pi", on=False))
    assert not farm.beat("pi").drained
    state = farm.state()
    assert (state.slots, list(state.processes), state.drained) == (1, ["pi:1"], frozenset())
    farm.ledger(calls.farewell("pi:1"))
    assert farm.state().processes == {}


def test_with_every_node_drained_documents_wait(farm: Farm) -> None:
    farm.beat("pi")
    farm.ledger(node_calls.drain("pi", on=True))
    farm.submit()
    for _ in range(5):
        assert farm.claim("pi") == "drained"
    farm.ledger(node_calls.drain("pi", on=False))
    found = farm.claim("pi")
    assert isinstance(found, ClaimedUnit)
    assert found.attempt == 1


def test_what_is_given_back_costs_no_attempt_and_goes_to_the_next(farm: Farm) -> None:
    farm.beat("pi")
    farm.submit()
    for _ in range(5):  # more often than a page may fail
        held = farm.claim("pi")
        assert isinstance(held, ClaimedUnit)
        assert held.attempt == 1
        assert farm.ledger(node_calls.give_back(held.unit, held.token, delay_s=0.01)) == "back"
        assert farm.ledger(node_calls.give_back(held.unit, held.token, delay_s=0.01)) == "stale"
        assert farm.pop() is None
        time.sleep(0.02)
        farm.ledger(calls.sweep(farm.settings))
    assert farm.state().stats["given_back"] == 5
    held = farm.claim("pi")
    assert isinstance(held, ClaimedUnit)
    assert farm.ledger(calls.finish_page(held.unit, held.token, Page(number=1, width=1, height=1)))


def test_given_back_when_nobody_wants_it_any_more(farm: Farm) -> None:
    farm.beat("pi")
    farm.submit()
    held = farm.claim("pi")
    assert isinstance(held, ClaimedUnit)
    (job,) = farm.ledger(calls.list_jobs("ann")).ids
    farm.ledger(calls.cancel("ann", job))
    farm.ledger(node_calls.give_back(held.unit, held.token, delay_s=0.01))
    assert not farm.ledger.redis.exists(f"{farm.settings.namespace}:unit:{held.unit}")
    assert farm.state().running == 0


def test_nodes_that_nobody_saw_for_a_month_are_forgotten(farm: Farm) -> None:
    assert farm.ledger(node_calls.join("pi", "0" * 16)).outcome == "joined"
    (known,) = farm.ledger(node_calls.list_nodes())
    assert (known.id, known.key, known.joined) == ("pi", "0" * 16, known.seen)
    name = f"{farm.settings.namespace}:nodes"
    old = {"key": "0" * 16, "joined": 1, "seen": 1, "version": "", "machine": "", "of_a_later_release": 7}
    farm.ledger.redis.hset(name, "gone", json.dumps(old))
    farm.ledger(node_calls.drain("gone", on=True))
    assert [node.id for node in farm.ledger(node_calls.list_nodes())] == ["pi"]
    assert farm.state().drained == frozenset()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "a b", "10.0.0.1 10.0.0.2"])
def test_redis_is_shown_to_one_network(host: str) -> None:
    with pytest.raises(SettingsError, match="OCRFARM_REDIS_HOST"):
        read_settings({"OCRFARM_REDIS_HOST": host})


def test_no_password_is_among_the_farms_settings() -> None:
    secret = {"redis_password": "hush-hush", "api_key": "hush-hush", "webhook_secret": "hush-hush" * 4}
    assert "hush" not in str(farms_settings(read_settings({}, **secret)))
