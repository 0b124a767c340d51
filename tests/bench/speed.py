"""Pages a second: RapidOCR, our pipeline in-process, and the farm, side by side in one run.

    python -m tests.bench.speed [--eval FOLDER] [--repeat 3] [--rounds 2]

Each round runs every contender once, in turn, so that a noisy neighbour hits all; the report takes each one's best round. RapidOCR
(one process, two threads, FOLDER/peer.py) is run only where FOLDER is given. Writes JSON to standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.bench.pages import PROFILES, ROOT, page_files
from tests.running_farm import RunningFarm


def rapidocr(evaluation: Path, threads: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(evaluation / "peer.py"), "--cost", "--threads", str(threads)],
        capture_output=True,
        text=True,
        check=True,
    )
    out = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "pages": out["pages"], "lines": out["lines"], "wall_s": out["wall_s_per_page"] * out["pages"],
        "core_s": out["core_s_per_page"] * out["pages"], "peak_rss_mb": out["peak_rss_mb"],
    }  # fmt: skip


def in_process(files: list[Path], profile: str, repeat: int) -> dict[str, float]:
    environment = os.environ | {"OCRFARM_MODEL_FOLDER": str(ROOT / ".ocrfarm" / "models")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.in_process", "--profile", profile, "--repeat", str(repeat), *map(str, files)],
        capture_output=True, text=True, check=True, env=environment, cwd=ROOT,
    )  # fmt: skip
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def through_farm(files: list[Path], profile: str, repeat: int) -> dict[str, Any]:
    """Everything is submitted at once, as a bulk is; the clock runs from the first POST to the last page's record."""
    with tempfile.TemporaryDirectory() as folder, RunningFarm(Path(folder) / "s", workers=2, preload=profile) as farm:
        farm.wait([farm.submit(files[0], profile=profile, layout="page", cache="off") for _ in range(4)])
        parts = [psutil.Process(farm.pid(p)) for p in ("redis", "api", "dispatcher", "worker")] + farm.worker_children()
        before = {p.pid: sum(p.cpu_times()[:2]) for p in parts}
        start = time.monotonic()
        jobs = [farm.submit(path, profile=profile, layout="page", cache="off") for _ in range(repeat) for path in files]
        views = farm.wait(jobs, timeout=600)
        wall = max(v["ended_at"] for v in views.values()) - min(v["created_at"] for v in views.values())
        wall = max(wall, 0.001) if wall else time.monotonic() - start
        failed = [v for v in views.values() if v["state"] != "succeeded"]
        if failed:
            raise RuntimeError(f"{len(failed)} jobs failed: {failed[0]}")
        core = sum(sum(p.cpu_times()[:2]) - before[p.pid] for p in parts)
        return {"pages": len(jobs), "wall_s": round(wall, 3), "core_s": round(core, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eval", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    files = page_files(arguments.eval)
    rounds: dict[str, list[dict[str, Any]]] = {}

    def note(name: str, result: dict[str, Any]) -> None:
        rounds.setdefault(name, []).append(result | {"pages_per_s": round(result["pages"] / result["wall_s"], 3)})
        print(f"{name}: {rounds[name][-1]}", file=sys.stderr, flush=True)

    for _ in range(arguments.rounds):
        if arguments.eval:
            note("rapidocr, 2 threads", rapidocr(arguments.eval, 2))
        for profile in PROFILES:
            note(f"{profile}, in-process x 2", in_process(files, profile, arguments.repeat))
            note(f"{profile}, farm x 2", through_farm(files, profile, arguments.repeat))
    best = {name: max(results, key=lambda r: r["pages_per_s"]) for name, results in rounds.items()}
    print(json.dumps({"best": best, "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
