"""Two worker processes, one of them five times slower: how long do 300 pages take, against the least that two such can need?

    python -m tests.bench.uneven [--pages 300] [--few 12]

Pages are simulated (tests/bench/inject): 0.2 s on the one node, 1 s on the other. Ideal: the best way of sharing so many whole pages.
Measured is from the first page's beginning to the last one's end, by the ledger's clock. Then so with few pages, where one slow page at
the end shows, with the rule that leaves the end to the faster node, and with that rule taken out. Writes JSON to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.simulated import SimulatedFarm

PAGE_S, SLOWNESS = 0.2, 5.0
OUT = [
    [
        "shared/ocrfarm_shared/ledger/scripts/taking.lua",
        "  if not rides and leave_to_faster(unit, u, run, by) then return nil, 'left' end\n",
        "",
    ]
]


def ideal_s(pages: int) -> float:
    """The least time in which the two can end so many whole pages."""
    return min(max(PAGE_S * (pages - slow), PAGE_S * SLOWNESS * slow) for slow in range(pages + 1))


def measure(farm: SimulatedFarm, pages: int) -> dict[str, Any]:
    before = farm.state().stats.get("left_to_faster", 0)
    times = farm.wait_ended(farm.submit(pages), 600)
    took = times[-1][1] - min(begun for begun, _ in times)
    slow = sum(1 for begun, ended in times if ended - begun > 3 * PAGE_S)
    found = {
        "pages": pages,
        "makespan s": round(took, 2),
        "ideal s": round(ideal_s(pages), 2),
        "over ideal": round(took / ideal_s(pages) - 1, 3),
        "pages of the slow node": slow,
        "left to the faster one": farm.state().stats.get("left_to_faster", 0) - before,
    }
    print(f"{time.strftime('%H:%M:%S')} {found}", file=sys.stderr, flush=True)
    return found


def run(folder: Path, few: list[int], pages: int, **environment: str) -> list[dict[str, Any]]:
    """Each of these numbers of pages, and `pages` first (0: not)."""
    with SimulatedFarm(folder) as farm:
        farm.node("fast", 1, PAGE_S, **environment)
        farm.node("slow", 1, PAGE_S, SLOWNESS, **environment)
        farm.wait_slots(2)
        time.sleep(2 * farm.settings.sweep_s)  # the dispatcher has heard how fast they are
        return [measure(farm, count) for count in ([pages] if pages else []) + few]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--few", default="6,7,8,9,10,11,12")
    asked = parser.parse_args()
    few = [int(n) for n in asked.few.split(",") if n]
    with tempfile.TemporaryDirectory() as folder:
        many, *with_rule = run(Path(folder) / "with", few, asked.pages)
        without = run(Path(folder) / "without", few, 0, FAULTS_PATCHES=json.dumps(OUT))

    def mean(rows: list[dict[str, Any]]) -> float:
        return round(sum(row["over ideal"] for row in rows) / len(rows), 3)

    found = {
        "many": many,
        "few": {"pages": few, "mean over ideal": mean(with_rule), "without the rule": mean(without)},
        "each of few": with_rule,
        "each without the rule": without,
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
