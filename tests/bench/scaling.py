"""Do twice as many workers read twice as many pages? 1, 2, 4, 8 simulated workers, each page 200 ms of sleep.

    python -m tests.bench.scaling [--workers 1,2,4,8] [--seconds 20]

For each number: pages queued before for `--seconds`, so many processes; pages a second while all of them are at work, against that many
times the rate of the first number (`of linear`), and against the 5 a second each that 200 ms allow. Writes JSON to standard output.
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

PAGE_S = 0.2


def measure(farm: SimulatedFarm, workers: int, seconds: float) -> dict[str, Any]:
    pages = int(workers * seconds / PAGE_S)
    jobs = farm.submit(pages)
    farm.node(f"of{workers}", workers, PAGE_S)
    farm.wait_slots(workers)
    times = farm.wait_ended(jobs, 20 * seconds + 60)
    farm.stop(f"worker-of{workers}")
    begin = max(sorted(begun for begun, _ in times)[:workers])  # all are at work from then on
    ended = [end for _, end in times]
    last = sorted(ended)[-workers]  # the first one that finds nothing more
    rate = sum(1 for end in ended if begin < end <= last) / (last - begin)
    found = {"pages": pages, "pages a second": round(rate, 2), "of 5 a second each": round(rate * PAGE_S / workers, 3)}
    print(f"{time.strftime('%H:%M:%S')} {workers}: {found}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2,4,8")
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, SimulatedFarm(Path(folder)) as farm:
        found = {n: measure(farm, int(n), asked.seconds) for n in asked.workers.split(",")}
    first = next(iter(found))
    for n, row in found.items():
        row["of linear"] = round(row["pages a second"] / int(n) / (found[first]["pages a second"] / int(first)), 3)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
