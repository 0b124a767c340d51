"""Put on PYTHONPATH by benchmarks of the coordination: worker processes then read nothing and take as long over it as they are told.

`SIMULATED_PAGE_S`: seconds that a page takes (it is slept, so a machine of two cores can be eight); 0: none. `SIMULATED_SLOWNESS`: so many
times as long, on this node. All else is the product's: message, claim, lease, heartbeat, result, hand-out. Nothing in the product knows of
this. Patches of FAULTS_PATCHES are applied as well (tests/faults/inject).
"""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

SLOWNESS = float(os.environ.get("SIMULATED_SLOWNESS", "1"))
PAGE_S = float(os.environ.get("SIMULATED_PAGE_S", "0")) * SLOWNESS


def simulate_tasks(tasks: ModuleType) -> None:
    from ocrfarm_shared.contracts import Line, Page

    corners = [(10.0, 10.0), (300.0, 10.0), (300.0, 40.0), (10.0, 40.0)]

    def read(claimed: Any, *_: Any) -> Page:
        if PAGE_S:
            time.sleep(PAGE_S)
        line = Line(text=f"simulated {claimed.unit}", confidence=0.9, polygon=corners, model="simulated")
        return Page(number=claimed.number, width=310, height=50, lines=[line], models=["simulated"])

    tasks.read = read  # type: ignore[attr-defined]  # put into the product on purpose


def simulate_hands(hands: ModuleType) -> None:
    """No models, and no process that opens documents."""
    recognizer = SimpleNamespace(spec=SimpleNamespace(id="simulated"))
    hands.Engines.load = lambda profile, **_: SimpleNamespace(
        profile=profile.name, recognizer=recognizer, first=(), fallback=None
    )
    hands.Decoder.start = lambda _: None


def simulate_capability(capability: ModuleType) -> None:
    capability.lines_per_s = lambda _: 100.0 / SLOWNESS  # type: ignore[attr-defined]


def _faults() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "faults" / "inject" / "sitecustomize.py"
    spec = importlib.util.spec_from_file_location("faults_inject", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


faults = _faults()
faults.WRAPS |= {
    "ocrfarm_worker.tasks": simulate_tasks,
    "ocrfarm_worker.hands": simulate_hands,
    "ocrfarm_worker.capability": simulate_capability,
}
