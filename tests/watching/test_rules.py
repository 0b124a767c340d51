"""The monitoring files as Prometheus' own tools judge them."""

from __future__ import annotations

import re

import yaml

from tests.watching.programs import MONITORING, promtool

ALERTS = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf8"))["groups"][0]["rules"]


def test_the_configuration_is_one() -> None:
    done = promtool("check", "config", str(MONITORING / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_on_its_event_and_on_nothing_else() -> None:
    done = promtool("test", "rules", str(MONITORING / "alerts_test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_tests_of_both_kinds() -> None:
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text("utf8"))["tests"]
    fires, quiet = set(), set()
    for test in tests:
        alert, _, rest = test["name"].partition(" ")
        expected = [sample["labels"] for sample in test["promql_expr_test"][0]["exp_samples"]]
        if rest.startswith("does not fire: "):
            assert expected == [], test["name"]
            quiet.add(alert)
        elif rest.startswith("fires"):
            assert expected == [f'{{alertname="{alert}"}}'], test["name"]
            fires.add(alert)
    names = {rule["alert"] for rule in ALERTS}
    assert fires == names
    assert quiet == names


def test_each_alert_says_what_it_means_and_what_to_do() -> None:
    for rule in ALERTS:
        said = rule["annotations"]
        assert {"summary", "description", "runbook"} == set(said), rule["alert"]
        assert len(said["runbook"]) > 40, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert re.fullmatch(r"Ocrfarm[A-Z][A-Za-z]+", rule["alert"])
