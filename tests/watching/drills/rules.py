"""The product's alert rules, made quick enough to be drilled: the same file, its durations shortened."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from tests.watching.programs import MONITORING

SECONDS = {"s": 1, "m": 60, "h": 3600}
_SPAN = re.compile(r"(\[|:|offset )(\d+)([smh])\b")


def shortened(text: str, by: float) -> str:
    """A duration of the rules (`15m`), so many times shorter, in whole seconds and one at least."""
    return f"{max(1, round(int(text[:-1]) * SECONDS[text[-1]] / by))}s"


def drill_rules(faster: float, instead: Mapping[str, str]) -> str:
    """alerts.yml with every `for` and every range so many times shorter, and the thresholds of `instead` in place of their own.

    Raises LookupError where one of those stands in no rule, or in several.
    """
    text = (MONITORING / "alerts.yml").read_text("utf8")
    for old, new in instead.items():
        if text.count(old) != 1:
            raise LookupError(f"{old!r} stands {text.count(old)} times in the rules")
        text = text.replace(old, new)
    rules = yaml.safe_load(text)
    for rule in rules["groups"][0]["rules"]:
        rule["expr"] = _SPAN.sub(lambda m: m[1] + shortened(m[2] + m[3], faster), rule["expr"])
        if "for" in rule:
            rule["for"] = shortened(rule["for"], faster)
    return yaml.safe_dump(rules, width=1000, sort_keys=False)
