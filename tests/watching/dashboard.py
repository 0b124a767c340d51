"""The Grafana dashboard, read: its panels and what each asks Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.watching.programs import MONITORING

FILE = MONITORING / "grafana" / "dashboards" / "ocrfarm.json"


@dataclass(frozen=True)
class Panel:
    """`place`: x, y, width and height in Grafana's grid of 24 columns. `targets`: expression and legend of each query."""

    title: str
    kind: str
    place: tuple[int, int, int, int]
    unit: str
    stacked: bool
    steps: tuple[tuple[float | None, str], ...]
    words: dict[str, str]
    targets: tuple[tuple[str, str], ...]


def panels(window: str) -> list[Panel]:
    """All of them, rows included; `window` stands for Grafana's $__rate_interval."""
    return list(_panels(json.loads(FILE.read_text("utf8")), window))


def _panels(board: dict[str, Any], window: str) -> Iterator[Panel]:
    for panel in board["panels"]:
        grid, defaults = panel["gridPos"], panel.get("fieldConfig", {}).get("defaults", {})
        words = {v: told["text"] for m in defaults.get("mappings", []) for v, told in m["options"].items()}
        yield Panel(
            title=panel["title"],
            kind=panel["type"],
            place=(grid["x"], grid["y"], grid["w"], grid["h"]),
            unit=defaults.get("unit", "short"),
            stacked=defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
            steps=tuple((step["value"], step["color"]) for step in defaults.get("thresholds", {}).get("steps", [])),
            words=words,
            targets=tuple(
                (target["expr"].replace("$__rate_interval", window), target["legendFormat"])
                for target in panel.get("targets", [])
            ),
        )


def metrics_named(text: str) -> set[str]:
    """Metrics of ours in an expression."""
    return set(re.findall(r"\b(?:ocrfarm_[a-z_]+|process_[a-z_]+)\b", text))


def legend(pattern: str, labels: dict[str, str]) -> str:
    """Grafana's legend: `{{label}}` stands for the series' own."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda m: labels.get(m[1], ""), pattern)
