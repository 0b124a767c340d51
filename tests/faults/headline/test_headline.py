"""The headline run and the rolling restart, short; long by `python -m tests.faults.headline` and `...headline.rolling`.

pytest tests/faults/headline --storm-jobs 3000 --storm-kills 60 --storm-seed 7      (`make test-faults`)
"""

from __future__ import annotations

import copy
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.headline import checks, report, rolling, storm
from tests.faults.headline.killer import PROCESS_KILLS, plan
from tests.faults.headline.papers import make
from tests.faults.headline.storm import Storm

pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def weathered(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Storm:
    """One storm for all the tests of this module."""
    ask: Callable[[str], Any] = pytestconfig.getoption
    seed = ask("--storm-seed")
    seed = secrets.randbelow(1_000_000_000) if seed is None else seed
    print(f"\nstorm seed {seed}")
    jobs, kills, pause = ask("--storm-jobs"), ask("--storm-kills"), ask("--storm-pause")
    folder = tmp_path_factory.mktemp("storm")
    return storm.run(folder, jobs=jobs, kills=kills, seed=seed, pause_s=pause, say=print)


def test_nothing_is_lost_and_nothing_doubled(weathered: Storm, pytestconfig: pytest.Config) -> None:
    wrong = [f"{check.name}: {check.wrong}" for check in checks.all_of(weathered) if not check.holds]
    assert not wrong, f"seed {weathered.seed}: {wrong}"
    processes = [kill for kill in weathered.kills if kill.what != "connections"]
    assert len(processes) >= pytestconfig.getoption("--storm-kills")
    assert {kill.what for kill in processes} == set(PROCESS_KILLS)
    assert all(kill.back_s is not None for kill in weathered.kills), "a part never came back"


def test_the_report_and_the_picture_of_it(weathered: Storm) -> None:
    told = report.markdown(weathered, checks.all_of(weathered), "a test", "here")
    assert f"| accepted | {len(weathered.accepted)} |" in told
    assert "BROKEN" not in told
    picture = report.timeline(weathered)
    assert picture.count("<title>") == len(weathered.kills)


def spoil(name: str, one: Storm) -> None:
    """Make one thing wrong that a farm could do wrong."""
    whole = [sent for sent in one.accepted if one.views[sent.job]["state"] == "succeeded" and sent.paper.kind == "line"]
    first, second = whole[0].job, whole[1].job
    match name:
        case "lost":
            one.history.ends[first].clear()
        case "ended twice":
            one.history.ends[first] *= 2
        case "recorded twice":
            one.history.recorded[f"{one.history.runs[first]}:1"] += 1
        case "never recorded":
            del one.history.recorded[f"{one.history.runs[first]}:1"]
        case "another's text":
            one.texts[first] = one.texts[second]
        case "half made":
            one.history.created["job_nobody"], one.history.tags["job_nobody"] = 0.0, storm.TAG
        case "failed":
            one.views[first] = one.views[first] | {"state": "failed", "error": {"code": "internal"}}
        case "another job for the same key":
            whole[0].same_again = False


@pytest.mark.parametrize(
    "name",
    ["lost", "ended twice", "recorded twice", "never recorded", "another's text", "half made", "failed",
     "another job for the same key"],
)  # fmt: skip
def test_the_checks_see_what_is_wrong(weathered: Storm, name: str) -> None:
    spoilt = copy.deepcopy(weathered)
    spoil(name, spoilt)
    assert any(not check.holds for check in checks.all_of(spoilt))


def test_a_rolling_restart_of_every_part_with_two_gateways(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    out = rolling.run(tmp_path, jobs=pytestconfig.getoption("--rolling-jobs"), say=print)
    assert rolling.problems(out) == []


def test_the_same_seed_makes_the_same_storm() -> None:
    before = make(50, 7)
    time.sleep(1.1)  # whatever tells the time tells another one
    assert make(50, 7) == before
    assert make(50, 7) != make(50, 8)
    order = plan(60, random.Random(1))
    assert order == plan(60, random.Random(1))
    assert sum(what != "connections" for what in order) >= 60
