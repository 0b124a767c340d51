"""Memory of a worker pool of two processes over 500 pages of varied size, recycling off: does it grow?

    python -m tests.bench.memory [--eval FOLDER] [--pages 500]

Prints the sum of PSS (proportional set size, /proc/PID/smaps_rollup) of parent and children after 100, 300 and 500 pages, at rest
(nothing under way for two seconds), and the peak while reading. Writes JSON to standard output.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from PIL import Image

from tests.bench.pages import PROFILES, page_files
from tests.running_farm import RunningFarm


def pss_mb(farm: RunningFarm) -> float:
    """MB; a process that ends between listing and looking counts nothing."""
    total = 0
    for process in [psutil.Process(farm.pid("worker")), *farm.worker_children()]:
        try:
            rows = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return round(total / 1024, 1)


def varied(files: list[Path], count: int) -> list[bytes]:
    """`count` pages scaled between a third and one and a half of their size, by a fixed seed, no two the same."""
    rng, out = random.Random(7), []
    for n in range(count):
        with Image.open(files[n % len(files)]) as image:
            scale = rng.uniform(0.33, 1.5)
            size = (max(32, int(image.width * scale)), max(32, int(image.height * scale)))
            buffer = io.BytesIO()
            image.convert("RGB").resize(size).save(buffer, "JPEG", quality=80)
            out.append(buffer.getvalue())
    return out


def run(profile: str, files: list[Path], count: int) -> dict[str, float]:
    marks = sorted({round(count * part) for part in (0.2, 0.6, 1.0)})
    out: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningFarm(
            Path(folder) / "s", workers=2, preload=profile, max_tasks_per_child=0, max_memory_per_child_mb=0
        ) as farm,
    ):
        out["at start"] = pss_mb(farm)
        peak, stop = [0.0], threading.Event()

        def watch() -> None:
            while not stop.wait(0.25):
                peak[0] = max(peak[0], pss_mb(farm))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        done = 0
        for mark in marks:
            pages = varied(files, mark)[done:mark]
            views = farm.wait(
                [farm.submit(page, profile=profile, layout="page", cache="off") for page in pages], timeout=1800
            )
            bad = [v for v in views.values() if v["state"] != "succeeded"]
            if bad:
                raise RuntimeError(f"{len(bad)} pages failed: {bad[0]}")
            done = mark
            time.sleep(2)
            out[f"after {mark} pages"] = pss_mb(farm)
            print(profile, out, file=sys.stderr, flush=True)
        stop.set()
        thread.join()
        out["peak"] = peak[0]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eval", type=Path)
    parser.add_argument("--pages", type=int, default=500)
    parser.add_argument("--profile", action="append", default=[])
    arguments = parser.parse_args()
    files = page_files(arguments.eval)
    profiles = arguments.profile or PROFILES
    print(json.dumps({name: run(name, files, arguments.pages) for name in profiles}, indent=1))


if __name__ == "__main__":
    main()
