"""Ten times more than the farm can read, for a minute: what is it told, what does it cost, and is the farm hurt afterwards?

    python -m tests.bench.overload [--times 10] [--seconds 60] [--most-queued 120]

First the farm's rate is measured with a backlog. Then pages are sent on the clock at `times` that rate, whatever the answers are; the farm
takes `OCRFARM_MAX_QUEUED` jobs at once and refuses the rest. Then nothing more is sent until all that was accepted has ended. Memory is PSS
(proportional set size, /proc/PID/smaps_rollup) of gateway, Redis and the pool. Writes JSON to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.bench.asking import Answer, Asker, page, quantile
from tests.running_farm import RunningFarm

FIELDS = {"layout": "page", "cache": "off"}
KINDS = 64  # pages that are different at a time; the cache is off, each is read
numbers = itertools.count(1)


def say(said: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {said}", file=sys.stderr, flush=True)


def pss_mb(processes: list[psutil.Process]) -> float:
    """MB; a process that ends between listing and looking counts nothing."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):
            rows = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total / 1024


@dataclass
class Scales:
    """Weighs the parts every second, beside everything else. `rows`: (seconds, part -> MB)."""

    farm: RunningFarm
    rows: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Scales:
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(1):
            with contextlib.suppress(psutil.Error):
                self.rows.append((time.monotonic() - self._begun, self.weigh()))

    def weigh(self) -> dict[str, float]:
        parts = {name: [psutil.Process(self.farm.pid(part))] for name, part in (("gateway", "api"), ("redis", "redis"))}
        parts["worker"] = [psutil.Process(self.farm.pid("worker")), *self.farm.worker_children()]
        return {name: round(pss_mb(processes), 1) for name, processes in parts.items()}

    def median(self, since: float, until: float) -> dict[str, float]:
        rows = [row for at, row in self.rows if since <= at < until]
        return {name: round(statistics.median(row[name] for row in rows), 1) for name in rows[0]}


async def flood(port: int, pages: list[bytes], rate: float, seconds: float) -> list[tuple[Answer, float]]:
    """Answers with their seconds; requests leave on the clock."""
    asker, out = Asker(port), []

    async def one(n: int, start: float) -> None:
        due = start + n / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        answer = await asker.submit(pages[n % len(pages)], **FIELDS)
        out.append((answer, time.perf_counter() - due))

    start = time.perf_counter() + 0.2
    await asyncio.gather(*(one(n, start) for n in range(int(rate * seconds))))
    asker.close()
    return out


async def measure(farm: RunningFarm, arguments: argparse.Namespace) -> dict[str, Any]:
    pages = [page(next(numbers)) for _ in range(KINDS)]
    say("the farm is ready")
    farm.wait([farm.submit(one, **FIELDS) for one in pages[:4]])
    with Scales(farm) as scales:
        first = [farm.submit(one, **FIELDS) for one in pages[: arguments.warm]]
        views = farm.wait(first, timeout=600)
    reading = scales.median(2, 1e9)
    ends = sorted(view["ended_at"] for view in views.values())
    skip = len(ends) // 5
    rate = (len(ends) - skip - 1) / (ends[-1] - ends[skip])
    say(f"the farm reads {rate:.2f} pages a second")
    with Scales(farm) as scales:
        await asyncio.sleep(5)
        begun, wall = scales.rows[-1][0], time.time()
        answers = await flood(farm.port, pages, arguments.times * rate, arguments.seconds)
        over, wall_over = time.monotonic() - scales._begun, time.time()
        queued = int(farm.http.get("/v1/farm").json()["queued_units"])
        statuses = Counter(answer.status for answer, _ in answers)
        say(f"{dict(statuses)}; {queued} pages wait")
        jobs = [answer.json()["id"] for answer, _ in answers if answer.status in (200, 202)]
        views = await asyncio.to_thread(farm.wait, jobs, 1200)
        drained, wall_drained = time.monotonic() - scales._begun, max(v["ended_at"] for v in views.values())
        await asyncio.sleep(5)
        memory = {
            "reading, no flood": reading,
            "at rest, before": scales.median(0, begun),
            "flood, first third": scales.median(begun, begun + (over - begun) / 3),
            "flood, last third": scales.median(over - (over - begun) / 3, over),
            "at rest, after": scales.median(drained, drained + 60),
            "most": {name: max(row[name] for _, row in scales.rows) for name in scales.rows[0][1]},
        }
    ended = [view["ended_at"] for view in views.values()]
    refused = [answer for answer, _ in answers if answer.status in (429, 503)]
    taken = [seconds for answer, seconds in answers if answer.status in (200, 202)]
    told = [seconds for answer, seconds in answers if answer.status in (429, 503)]
    return {
        "rate_before": round(rate, 2),
        "asked_per_s": round(arguments.times * rate, 1),
        "seconds": arguments.seconds,
        "max_queued": arguments.most_queued,
        "answers": {str(status): n for status, n in sorted(statuses.items())},
        "other_than_202_429_503": sum(n for status, n in statuses.items() if status not in (200, 202, 429, 503)),
        "refused_without_retry_after": sum("retry-after" not in answer.headers for answer in refused),
        "retry_after_s": sorted({int(answer.headers["retry-after"]) for answer in refused if "retry-after" in answer.headers})[:20],
        "accepted": len(jobs),
        "ended": sum(1 for view in views.values() if view["state"] == "succeeded"),
        "accepted_p95_s": round(quantile(taken, 0.95), 3),
        "refused_p95_s": round(quantile(told, 0.95), 3) if told else None,
        "rate_during": round(sum(wall + 10 <= at < wall_over for at in ended) / (wall_over - wall - 10), 2),
        "rate_after": round(sum(wall_over <= at < wall_drained for at in ended) / (wall_drained - wall_over), 2),
        "memory_mb": memory,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--most-queued", type=int, default=120)
    parser.add_argument("--warm", type=int, default=40, help="pages of which the farm's rate is measured first")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningFarm(Path(folder) / "s", max_queued=arguments.most_queued) as farm,
    ):
        print(json.dumps(asyncio.run(measure(farm, arguments)), indent=1))


if __name__ == "__main__":
    main()
