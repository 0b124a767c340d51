"""How large the images are over their base, and how long a farm in containers takes from `up` to ready.

    python -m tests.bench.containers [--times 5]

Builds the images first. Every start is one of a farm that has been there before: its containers are made anew, its volumes are kept. The
clock runs from the start of `docker compose up -d` to the first 200 of /readyz, through the door.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from tests.e2e.compose_farm import TAG, ComposeFarm, need_engine

BASE = os.environ.get("PYTHON_IMAGE", "python:3.11-slim-bookworm")
BOUNDS_MB = {"api": 120, "worker": 420, "flower": None, "door": None}
READY_S = 10


def megabytes(image: str) -> float:
    told = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=True).stdout
    return float(json.loads(told)[0]["Size"]) / 1e6


def starts(farm: ComposeFarm, times: int) -> list[float]:
    """Seconds each. The farm must be up, with a key."""
    found = []
    for _ in range(times):
        farm.compose("down", "-t", "40")
        begun = time.monotonic()
        farm.compose("up", "-d", "--no-build")
        farm.wait_ready()
        found.append(time.monotonic() - begun)
    return found


def main() -> int:
    """Exit status 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description="Sizes of the images, and how soon a farm in containers is ready.")
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    need_engine()
    kept = True
    with ComposeFarm() as farm:
        farm.build("bench")
        base = megabytes(BASE)
        print(f"| image | MB | over {BASE} ({base:.0f} MB) | bound |\n|---|---|---|---|")
        for name, bound in BOUNDS_MB.items():
            size = megabytes(f"ocrfarm-{name}:{TAG}")
            kept &= bound is None or size - base < bound
            print(f"| {name} | {size:.0f} | {size - base:.0f} | {bound or ''} |")
        farm.compose("up", "-d", "--no-build")
        farm.make_key()
        farm.wait_ready()
        ready = starts(farm, times)
    print(
        f"\nup to ready, {times} starts: {', '.join(f'{s:.1f}' for s in sorted(ready))} s; median {statistics.median(ready):.1f} s"
    )
    return 0 if kept and statistics.median(ready) < READY_S else 1


if __name__ == "__main__":
    sys.exit(main())
