"""`make bench`: every figure of the README, side by side, into tests/bench/RESULTS.md and results.json.

    make bench                            on the project's samples: speed, memory, latency
    make bench EVAL=../shared/eval        on labelled pages: accuracy too, and RapidOCR beside us in the same run
    python -m tests.bench --eval FOLDER --only speed,latency

FOLDER holds dev/, cost.txt, score.py, farm_eval.py and peer.py. A part that was not run keeps the figures of its last run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ocrfarm_shared.version import commit
from tests.bench.pages import PROFILES, ROOT
from tests.bench.report import markdown
from tests.running_farm import RunningFarm

HERE = Path(__file__).parent
PARTS = (
    "speed",
    "latency",
    "memory",
    "accuracy",
    "fairness",
    "overload",
    "start",
    "scaling",
    "coordination",
    "uneven",
    "small_lines",
)


def run_part(name: str, arguments: list[str]) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{name}", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def accuracy(evaluation: Path) -> dict[str, Any]:
    """Groups' headlines of every profile, read through a running farm over HTTP."""
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, RunningFarm(Path(folder) / "s", workers=0) as farm:
        for profile in PROFILES:
            predictions, scores = Path(folder) / f"{profile}.jsonl", Path(folder) / f"{profile}.json"
            call = [sys.executable, str(evaluation / "farm_eval.py"), "--url", f"http://127.0.0.1:{farm.port}"]
            call += ["--data", str(evaluation / "dev"), "--profile", profile, "--out", str(predictions)]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            print(done.stdout, file=sys.stderr)
            score = [sys.executable, str(evaluation / "score.py"), "--data", str(evaluation / "dev")]
            subprocess.run(
                [*score, "--pred", str(predictions), "--json", str(scores)], stdout=subprocess.DEVNULL, check=True
            )
            out[profile] = json.loads(scores.read_text("utf8")) | {"run": done.stdout.strip().splitlines()[:1]}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eval", type=Path)
    parser.add_argument("--only", default="", help=f"of {','.join(PARTS)}")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    evaluation = arguments.eval.resolve() if arguments.eval else None
    wanted = arguments.only.split(",") if arguments.only else [p for p in PARTS if p != "accuracy" or evaluation]
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    store = HERE / "results.json"
    results: dict[str, Any] = json.loads(store.read_text("utf8")) if store.exists() else {}
    with_eval = ["--eval", str(evaluation)] if evaluation else []
    subprocess.run([sys.executable, "-m", "ocrfarm", "models", "build"], cwd=ROOT, check=True, stdout=sys.stderr)
    for part in wanted:
        print(f"== {part}", file=sys.stderr, flush=True)
        match part:
            case "speed":
                figures = run_part("speed", [*with_eval, "--repeat", str(arguments.repeat)])
            case "accuracy":
                if evaluation is None:
                    parser.error("accuracy needs --eval FOLDER")
                figures = accuracy(evaluation)
            case "memory":
                figures = run_part("memory", with_eval)
            case _:
                figures = run_part(part, [])
        results[part] = {
            "figures": figures, "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(),
            "pages": "EVAL" if evaluation else "samples", "cores": len(os.sched_getaffinity(0)), "machine": platform.machine(),
        }  # fmt: skip
        store.write_text(json.dumps(results, indent=1) + "\n", "utf8")
        (HERE / "RESULTS.md").write_text(markdown(results), "utf8")
    print(markdown(results))


if __name__ == "__main__":
    main()
