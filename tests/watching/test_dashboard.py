"""The dashboard and the alerts against a real farm: every query is answered with figures, every metric that they name is there."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator

import pytest
import yaml

from tests.faults.pages import quick, until
from tests.running_farm import ROOT
from tests.watching.dashboard import FILE, metrics_named, panels
from tests.watching.drills.events import DRILLS, Drill, hold, wake
from tests.watching.drills.ground import Ground
from tests.watching.programs import MONITORING, Prometheus, found, promtool

pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    found("prometheus")
    with Ground(tmp_path_factory.mktemp("watching")) as ground:
        yield ground
        wake(ground)


@pytest.fixture(scope="module")
def watched(ground: Ground) -> Iterator[Prometheus]:
    """A Prometheus that has seen the farm do all that it counts."""
    farm = ground.farm
    with Prometheus(ground.folder / "dashboard", [f"127.0.0.1:{farm.port}"]) as prometheus:
        time.sleep(3)
        for turn in range(2):  # a series that begins with its first event shows a rate from the second on
            jobs = [farm.submit(ROOT / "samples" / "letter.png", profile="balanced", cache="refresh")]
            jobs += [farm.submit(quick(f"Page number {n}"), cache="refresh") for n in range(2)]
            farm.wait(jobs)
            until(lambda pages=3 * (turn + 1): told(prometheus) == pages, 30, "no heartbeat brought what was counted")
        farm.wait([farm.submit(quick("Page number 0"))])  # from the cache
        time.sleep(2)  # a scrape fetches that
        yield prometheus


def told(prometheus: Prometheus) -> float:
    """Pages whose timings Prometheus has."""
    return sum(float(one["value"][1]) for one in prometheus.ask("ocrfarm_page_seconds_count"))


def test_the_metrics_are_well_made(ground: Ground, watched: Prometheus) -> None:
    text = ground.farm.http.get("/metrics").text
    done = promtool("check", "metrics", told=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_panel_shows_something(watched: Prometheus) -> None:
    asked = [(p.title, expression) for p in panels("5m") for expression, _ in p.targets]
    assert len(asked) > 50
    empty = []
    for title, expression in asked:
        values = [float(one["value"][1]) for one in watched.ask(expression)]
        if not any(math.isfinite(value) for value in values):
            empty.append(f"{title}: {expression} -> {values}")
    assert not empty, "\n".join(empty)


def test_every_metric_that_is_named_is_there(watched: Prometheus) -> None:
    there = set(watched.http.get("/api/v1/label/__name__/values").json()["data"])
    alerts = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf8"))["groups"][0]["rules"]
    named = metrics_named(FILE.read_text("utf8")) | metrics_named(" ".join(rule["expr"] for rule in alerts))
    assert len(named) > 40
    # The files' names and words of the dashboard begin so, too.
    assert sorted(named - there) == []


def test_the_cascade_is_told_apart(watched: Prometheus) -> None:
    lines = {
        one["metric"]["step"]: float(one["value"][1]) for one in watched.ask("sum by (step) (ocrfarm_lines_total)")
    }
    assert lines["first"] > 5  # a letter in plain print: the small model settles most of it
    assert sum(lines.values()) == float(watched.ask("ocrfarm_lines_read_total")[0]["value"][1])


def test_panels_do_not_overlap() -> None:
    board = json.loads(FILE.read_text("utf8"))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in panels("1m"):
        x, y, w, h = panel.place
        cells = {(i, j) for i in range(x, x + w) for j in range(y, y + h)}
        assert x + w <= 24, panel.title
        assert not cells & taken, panel.title
        taken |= cells


def test_each_alert_has_its_drill() -> None:
    alerts = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf8"))["groups"][0]["rules"]
    drilled = [name for drill in DRILLS for name in drill.alerts]
    assert sorted(drilled) == sorted(rule["alert"] for rule in alerts)
    recorded = (ROOT / "docs" / "alert-drills.md").read_text("utf8")
    assert [name for name in drilled if f"| `{name}` |" not in recorded] == []


QUICK = [drill for drill in DRILLS if drill.name in ("WebhooksGivenUp", "LedgerAway")]


@pytest.mark.parametrize("drill", QUICK, ids=lambda drill: drill.name)
def test_drill(drill: Drill, ground: Ground) -> None:
    """The quick ones; `python -m tests.watching.drills` holds all of them."""
    assert set(hold(drill, ground).seconds) == set(drill.alerts)
