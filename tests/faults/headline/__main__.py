"""The headline run.

    python -m tests.faults.headline --jobs 3000 --kills 60 --seed 20261120 --into tests/faults/headline

Prints the report, and writes it as report.md with timeline.svg into the folder named. Exit status 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import sys
import tempfile
import time
from pathlib import Path

from ocrfarm_shared.version import commit
from tests.faults.headline import checks, report, storm


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.headline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--kills", type=int, default=60, help="of processes; cuts of connections come on top")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000_000), help="default: any")
    parser.add_argument("--pause", type=float, default=4.5, help="seconds between kills, on average")
    parser.add_argument("--into", type=Path, help="folder for report.md and timeline.svg")
    parser.add_argument("--gateways", type=int, default=1)
    asked = parser.parse_args()
    begun = time.monotonic()

    def say(said: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} {said}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        found = storm.run(
            Path(folder), jobs=asked.jobs, kills=asked.kills, seed=asked.seed, pause_s=asked.pause, say=say, gateways=asked.gateways
        )  # fmt: skip
    verdict = checks.all_of(found)
    command = f"python -m tests.faults.headline --jobs {asked.jobs} --kills {asked.kills} --seed {asked.seed}"
    command += f" --pause {asked.pause:g}" + (f" --gateways {asked.gateways}" if asked.gateways > 1 else "")
    about = f"commit {commit()}, {len(os.sched_getaffinity(0))} cores, {platform.machine()}"
    told = report.markdown(found, verdict, command, about)
    print(told)
    if asked.into:
        (asked.into / "report.md").write_text(told, "utf8")
        (asked.into / "timeline.svg").write_text(report.timeline(found), "utf8")
    for check in verdict:
        if not check.holds:
            print(f"BROKEN: {check.name}", *check.wrong, sep="\n  ", file=sys.stderr)
    return 0 if all(check.holds for check in verdict) else 1


if __name__ == "__main__":
    sys.exit(main())
