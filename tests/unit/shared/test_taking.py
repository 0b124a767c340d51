"""How processes take units: with the answer to what they recorded, and small pictures several at a time; for what they can read."""

from __future__ import annotations

import json

import pytest

from ocrfarm_shared.contracts import CacheMode, Layout, OcrOptions, Page, Submission
from ocrfarm_shared.errors import WorkerLost
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.ledger.taking import Done, Taker, and_next, take
from ocrfarm_shared.settings import Settings

PROFILE, OTHER = "accurate-int8", "fast"
LARGE, SMALL = 10**6, 5000
BLANK = Page(number=1, width=1, height=1)


class Farm:
    """Processes of one node on a real ledger; `order` holds the jobs' units as they were submitted."""

    def __init__(self, settings: Settings, slots: int = 1) -> None:
        self.settings, self.ledger = settings, Ledger.open(settings)
        self.slots = [f"p{n}" for n in range(slots)]
        self.beat(*self.slots)
        self.jobs: list[str] = []

    def beat(self, *names: str, reads: tuple[str, ...] = (PROFILE, OTHER)) -> None:
        for name in names:
            self.ledger(calls.heartbeat(name, {"node": "n", "reads": list(reads)}, lease_s=600))

    def submit(self, count: int = 1, size: int = LARGE, profile: str = PROFILE, layout: Layout = Layout.AUTO) -> None:
        for _ in range(count):
            upload = calls.Upload(f"t/{len(self.jobs)}", "image/png", size, plan=False)
            submission = Submission(ocr=OcrOptions(profile=profile, layout=layout), cache=CacheMode.OFF)
            call = calls.submit(tenant="t", upload=upload, submission=submission, cache_key="", settings=self.settings)
            self.jobs.append(self.ledger(call).job_id)

    def taker(self, process: str = "p0", most: int = 1, profiles: tuple[str, ...] = (PROFILE, OTHER)) -> Taker:
        return Taker(f"task-{process}", "n", process, 600, most=most, profiles=profiles)

    def message(self, profile: str = PROFILE) -> str:
        raw = self.ledger.redis.rpop(f"{self.settings.namespace}:q:{profile}")
        assert isinstance(raw, bytes), "nothing is published"
        return str(json.loads(json.loads(raw)["body"])[0][0])

    def take(self, taker: Taker, profile: str = PROFILE) -> list[ClaimedUnit]:
        taken = self.ledger(take(self.message(profile), taker))
        assert isinstance(taken, list), taken
        return taken

    def finish(self, claimed: ClaimedUnit, taker: Taker | None) -> Done[calls.Recorded]:
        return self.ledger(and_next(calls.finish_page(claimed.unit, claimed.token, BLANK), taker))

    def numbers(self, units: list[ClaimedUnit]) -> list[int]:
        """Which submissions these are, from 0."""
        return [int(unit.blob.partition("/")[2]) for unit in units]

    def running(self) -> int:
        return self.ledger(calls.farm("t")).running


@pytest.fixture
def farm(farm_settings: Settings) -> Farm:
    return Farm(farm_settings)


def test_one_message_then_all_in_their_order(farm: Farm) -> None:
    farm.submit(20)
    units = farm.take(farm.taker())
    order = []
    while units:
        order += farm.numbers(units)
        done = farm.finish(units[0], farm.taker())
        assert done.recorded
        units = done.taken
    assert order == list(range(20))
    assert farm.ledger(calls.farm("t")).stats["jobs_succeeded"] == 20
    assert farm.ledger.redis.llen(f"{farm.settings.namespace}:q:{PROFILE}") == 0


def test_who_wants_no_more_gets_no_more(farm: Farm) -> None:
    farm.submit(3)
    done = farm.finish(farm.take(farm.taker())[0], None)
    assert done.taken == []
    assert farm.running() == 0
    assert farm.message(), "the next one is in the queue, for Celery"


def test_a_stale_write_writes_nothing_and_still_gets_the_next(farm: Farm) -> None:
    farm.submit(2)
    (unit,) = farm.take(farm.taker())
    farm.ledger(calls.fail(unit.unit, WorkerLost(), token=unit.token, max_attempts=3))
    again = farm.finish(unit, farm.taker())
    assert not again.recorded
    assert [(one.unit, one.attempt) for one in again.taken] == [(unit.unit, 2)], "the retry stands in front"


def test_other_profiles_have_their_turn(farm: Farm) -> None:
    farm.submit(3)
    farm.submit(1, profile=OTHER)
    (unit,) = farm.take(farm.taker())
    done = farm.finish(unit, farm.taker(profiles=(OTHER, PROFILE)))
    assert [one.profile for one in done.taken] == [OTHER]
    done = farm.finish(done.taken[0], farm.taker(profiles=(PROFILE, OTHER)))
    assert [one.profile for one in done.taken] == [PROFILE]


def test_a_profile_that_it_cannot_read_is_not_taken(farm: Farm) -> None:
    farm.submit(1)
    farm.submit(1, profile=OTHER)
    done = farm.finish(farm.take(farm.taker())[0], farm.taker(profiles=(PROFILE,)))
    assert done.taken == []


def test_small_pictures_go_together(farm: Farm) -> None:
    farm.submit(12, SMALL)
    units = farm.take(farm.taker(most=8))
    assert farm.numbers(units) == list(range(8))
    assert farm.running() == 8
    pulse = calls.heartbeat(
        "p0", {"reads": [PROFILE]}, lease_s=900, unit=units[0].unit, token=units[0].token,
        along=[(one.unit, one.token) for one in units[1:]],
    )  # fmt: skip
    assert farm.ledger(pulse).state == "held"
    scores = farm.ledger.redis.zrange(f"{farm.settings.namespace}:leases:{PROFILE}", 0, -1, withscores=True)
    now = farm.ledger.redis.time()[0]
    assert all(score > now + 800 for _, score in scores), "every one of them keeps its lease"
    calls_ = [and_next(calls.finish_page(one.unit, one.token, BLANK), None) for one in units[:-1]]
    assert all(done.recorded for done in farm.ledger.all(calls_))
    rest = farm.finish(units[-1], farm.taker(most=8)).taken
    assert farm.numbers(rest) == [8, 9, 10, 11]


def test_nobody_takes_more_than_its_share(farm_settings: Settings) -> None:
    farm = Farm(farm_settings, slots=4)
    farm.submit(9, SMALL)
    first = farm.take(farm.taker("p0", most=16))
    assert len(first) <= 3
    taken = [first, *(farm.take(farm.taker(name, most=16)) for name in ("p1", "p2", "p3"))]
    assert sorted(n for units in taken for n in farm.numbers(units))[:6] == list(range(6))


def test_those_that_ride_along_hold_no_place(farm_settings: Settings) -> None:
    """What is published is counted by processes: a bundle in one leaves the others theirs."""
    farm = Farm(farm_settings, slots=2)
    farm.submit(30, SMALL)
    assert len(farm.take(farm.taker("p0", most=8))) == 8
    assert len(farm.take(farm.taker("p1", most=8))) == 8


@pytest.mark.parametrize(("size", "layout"), [(LARGE, Layout.AUTO), (SMALL, Layout.PAGE)])
def test_pages_travel_alone(farm: Farm, size: int, layout: Layout) -> None:
    farm.submit(4, size, layout=layout)
    assert len(farm.take(farm.taker(most=8))) == 1


def test_a_page_among_them_ends_a_bundle(farm: Farm) -> None:
    farm.submit(2, SMALL)
    farm.submit(1, LARGE)
    farm.submit(2, SMALL)
    for bundle in ([0, 1], [2], [3, 4]):
        units = farm.take(farm.taker(most=8))
        assert farm.numbers(units) == bundle
        for unit in units:
            farm.finish(unit, None)


def test_a_process_that_dies_loses_all_that_it_held_and_each_is_tried_again_alone(farm: Farm) -> None:
    farm.submit(6, SMALL)
    units = farm.take(farm.taker(most=6))
    assert len(units) == 6
    outcome = farm.ledger(calls.fail(units[0].unit, WorkerLost(), owner="task-p0", max_attempts=3))
    assert outcome == "retried"
    assert farm.running() == 0
    seen = set()
    for _ in range(6):
        (again,) = farm.take(farm.taker(most=6))
        assert again.attempt == 2
        seen.add(again.unit)
        assert farm.finish(again, None).recorded
    assert seen == {unit.unit for unit in units}
    assert farm.ledger.redis.zcard(f"{farm.settings.namespace}:riding:{PROFILE}") == 0


def test_a_death_while_it_held_another_than_its_message_named(farm: Farm) -> None:
    farm.submit(2)
    (first,) = farm.take(farm.taker())
    (second,) = farm.finish(first, farm.taker()).taken
    assert farm.ledger(calls.fail(first.unit, WorkerLost(), owner="task-p0", max_attempts=3)) == "retried"
    (again,) = farm.take(farm.taker())
    assert (again.unit, again.attempt) == (second.unit, 2)


def test_what_is_not_the_ledgers_stays_in_the_queue(farm: Farm) -> None:
    farm.submit(2)
    (unit,) = farm.take(farm.taker())
    queue = f"{farm.settings.namespace}:q:{PROFILE}"
    farm.ledger.redis.rpush(queue, '{"body": "strange"}')
    assert farm.finish(unit, farm.taker()).taken == []
    assert farm.ledger.redis.lindex(queue, -1) == b'{"body": "strange"}'


def test_a_job_says_that_nobody_alive_can_read_it(farm: Farm) -> None:
    farm.submit(1, profile="fast-zh")

    def view() -> str | None:
        (record,) = farm.ledger(calls.view("t", farm.jobs))
        return record.view.waiting_for

    assert "fast-zh" in (view() or "")
    assert "OCRFARM_PROFILES" in (view() or "")
    farm.ledger(calls.heartbeat("older", {"node": "o"}, lease_s=600))
    assert view() is None, "a process of an older release does not say what it reads"
    farm.ledger(calls.farewell("older"))
    farm.beat("p9", reads=("fast-zh",))
    assert view() is None
    farm.ledger(calls.farewell("p9", ["fast-zh"]))
    farm.ledger(calls.farewell("p0", [PROFILE, OTHER]))
    assert "No worker is alive" in (view() or "")


def test_so_much_is_handed_out_as_there_are_readers(farm_settings: Settings) -> None:
    """Ten processes are alive, one reads this profile: two of its units are published, not fifteen."""
    farm = Farm(farm_settings, slots=10)
    farm.beat("q", reads=("fast-zh",))
    farm.submit(30, profile="fast-zh")
    assert farm.ledger.redis.llen(f"{farm.settings.namespace}:q:fast-zh") == 2
