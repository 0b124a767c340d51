"""A batch over the command line, killed and resumed twice: is each file read once, does memory stay flat?

    python -m tests.bench.batch [--count 2000] [--kills 2] [--workers 2]

Makes `--count` small line images, starts a farm, runs `ocrfarm batch`, kills it (SIGKILL) at equal parts of the way and starts it
again. Looks at the resident memory of the gateway and of the command four times a second. Prints JSON: pages read, jobs made,
results written, seconds, and both memories after the first fifth, at the end, and at their peak. Fails where a file was read
twice or not at all.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from tests.documents import page
from tests.running_farm import RunningFarm

WORDS = [
    "the",
    "farm",
    "reads",
    "every",
    "page",
    "once",
    "and",
    "tells",
    "when",
    "it",
    "is",
    "done",
    "with",
    "all",
    "of",
    "them",
]


def make(folder: Path, count: int) -> None:
    """Line images of five words, no two alike, a hundred in a folder."""
    rng = random.Random(11)
    for n in range(count):
        place = folder / f"box{n // 100:03}"
        place.mkdir(exist_ok=True, parents=True)
        page(f"{n} {' '.join(rng.choices(WORDS, k=5))}", width=760, height=110, size=32).save(place / f"{n:05}.png")


class Memory:
    """Resident megabytes of a process, looked at as it goes."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def look(self, process: psutil.Process, done: float) -> None:
        try:
            self.seen.append((done, process.memory_info().rss / 1e6))
        except psutil.Error:
            return

    def figures(self) -> dict[str, float]:
        early = [mb for done, mb in self.seen if done <= 0.2] or [self.seen[0][1]]
        return {
            "first fifth": round(max(early), 1),
            "end": round(self.seen[-1][1], 1),
            "peak": round(max(mb for _, mb in self.seen), 1),
        }


def run(count: int, kills: int, workers: int, folder: Path) -> dict[str, object]:
    scans, out = folder / "scans", folder / "out"
    make(scans, count)
    with RunningFarm(folder / "farm", workers=workers, preload="fast") as farm:
        command = [
            sys.executable,
            "-m",
            "ocrfarm",
            "batch",
            str(scans),
            "--out",
            str(out),
            "--url",
            str(farm.http.base_url),
        ]
        command += ["--profile", "fast", "--layout", "line"]
        read_before, begun = farm.pages_read(), time.monotonic()
        gateway, client = Memory(), Memory()
        api = psutil.Process(farm.pid("api"))
        for part in range(kills + 1):
            enough = count * (part + 1) // (kills + 1) if part < kills else count + 1
            done = threading.Event()
            started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            process = psutil.Process(started.pid)
            while started.poll() is None and not done.is_set():
                written = len(list(out.rglob("*.txt"))) if out.exists() else 0
                gateway.look(api, written / count)
                client.look(process, written / count)
                if written >= enough:
                    done.set()
                time.sleep(0.25)
            if started.poll() is None:
                started.kill()
            said = started.communicate()[1]
        seconds = time.monotonic() - begun
        batches = farm.http.get("/v1/batches").json()["batches"]
        found = {
            "files": count,
            "kills": kills,
            "results": len(list(out.rglob("*.txt"))),
            "pages read": farm.pages_read() - read_before,
            "items in batches": sum(batch["counts"]["total"] for batch in batches),
            "batches": len(batches),
            "exit code": started.returncode,
            "seconds": round(seconds, 1),
            "files a second": round(count / seconds, 1),
            "gateway MB": gateway.figures(),
            "command MB": client.figures(),
        }
        if (found["results"], found["pages read"], found["items in batches"], found["exit code"]) != (
            count,
            count,
            count,
            0,
        ):
            raise RuntimeError(f"not each once: {found}\n{said}")
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(asked.count, asked.kills, asked.workers, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
