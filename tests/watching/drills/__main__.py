"""`python -m tests.watching.drills [ALERT ...]`: hold all drills (or those of the alerts named), and write down how it went."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from ocrfarm_shared.version import commit
from tests.running_farm import ROOT
from tests.watching.drills.events import DRILLS, Held, hold, wake
from tests.watching.drills.ground import Ground

REPORT = ROOT / "docs" / "alert-drills.md"


def main() -> int:
    """0 where every alert fired."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("alerts", nargs="*", help="names of alerts; all of them where none is named")
    asked = parser.parse_args().alerts
    chosen = [drill for drill in DRILLS if not asked or set(asked) & set(drill.alerts)]
    held: list[Held] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ocrfarm-drills-") as folder, Ground(Path(folder)) as ground:
        for drill in chosen:
            print(f"{drill.name}: {drill.event}", flush=True)
            try:
                held.append(hold(drill, ground))
                print(
                    "   fired after " + ", ".join(f"{s:.0f} s ({n})" for n, s in held[-1].seconds.items()), flush=True
                )
            except AssertionError as err:
                failed.append(f"{drill.name}: {err}")
                print(f"   FAILED: {err}\n{ground.farm.logs()[-3000:]}", flush=True)
                wake(ground)
    if not asked and not failed:
        REPORT.write_text(report(held), "utf8")
        print(f"written to {REPORT}")
    return 1 if failed else 0


def report(held: list[Held]) -> str:
    """The table of docs/alert-drills.md."""
    rows = [
        f"| `{name}` | {one.drill.event} | {one.drill.faster:g} | {changed(one.drill.instead)} | {seconds:.0f} s |"
        for one in held
        for name, seconds in one.seconds.items()
    ]
    told = "python -m tests.watching.drills"
    return f"""# Alert drills

`{told}`, {time.strftime("%Y-%m-%d")}, commit {commit()}, {platform.machine()}. Made by that command; do not edit.

A real farm (`ocrfarm up`, two worker processes) is watched by a real Prometheus, every second, with the rules of
[alerts.yml](../infra/monitoring/alerts.yml), their durations divided by the number below; thresholds are the product's but where
the table says otherwise. Before the event the alert was quiet. Then the event was caused, and the time taken until Prometheus' API
said that the alert fires. With the product's own durations each fires later: by its `for`, and by what its window takes to fill.

| alert | event | durations divided by | thresholds changed | fired after |
|---|---|---|---|---|
{chr(10).join(rows)}
"""


def changed(instead: Mapping[str, str]) -> str:
    return "; ".join(f"`{old}` is `{new}`" for old, new in instead.items()) or "none"


if __name__ == "__main__":
    sys.exit(main())
