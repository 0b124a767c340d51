"""What the farm itself costs a page: pages that take no time, queued before, drained through the whole ledger.

    python -m tests.bench.coordination [--jobs 4000] [--processes 1,2,3,4]

Every page is a job and a run of its own. For each number of processes: page jobs a second between the first tenth and the end, and
processor seconds a page of Redis, the pools' parents, their processes and the dispatcher. Then one page alone is watched with MONITOR, and
its Redis operations are listed: those that a client sends, and those inside of the ledger's scripts. Writes JSON to standard output.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from tests.bench.simulated import SimulatedFarm


def used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class Costs:
    """Processor seconds by part since this was made."""

    def __init__(self, farm: SimulatedFarm) -> None:
        self.redis = psutil.Process(farm.processes["redis"].pid)
        self.dispatcher = psutil.Process(farm.processes["dispatcher"].pid)
        self.pools = [psutil.Process(p.pid) for name, p in farm.processes.items() if name.startswith("worker-")]
        self.before = self.now()

    def now(self) -> dict[str, float]:
        readers = 0.0
        for pool in self.pools:
            ended = pool.cpu_times()
            readers += ended.children_user + ended.children_system  # processes that were recycled
            for process in pool.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    readers += used(process)
        return {
            "redis": used(self.redis),
            "pool's parent": sum(used(pool) for pool in self.pools),
            "worker processes": readers,
            "dispatcher": used(self.dispatcher),
        }

    def spent(self) -> dict[str, float]:
        after = self.now()
        return {name: after[name] - self.before[name] for name in after}


def drain(farm: SimulatedFarm, jobs: int, processes: int) -> dict[str, Any]:
    """Page jobs a second with that many processes."""
    read_before = farm.state().stats.get("pages_read", 0)
    ids = farm.submit(jobs)
    name = f"of{processes}"
    farm.node(name, processes, 0.0)
    farm.wait_slots(processes)
    farm.admin.config_resetstat()
    costs, read = Costs(farm), farm.state().stats.get("pages_read", 0)
    times = farm.wait_ended(ids, 600)
    spent = costs.spent()
    scripts = farm.admin.info("commandstats").get("cmdstat_evalsha", {})
    farm.stop(f"worker-{name}")
    first, last = times[jobs // 10][1], times[-1][1]
    pages = max(1, jobs - (read - read_before))
    return {
        "jobs": jobs,
        "page jobs a second": round((jobs - jobs // 10 - 1) / (last - first), 1),
        "processor ms a page": {part: round(1000 * seconds / pages, 2) for part, seconds in spent.items()},
        "scripts": {"a page": round(scripts["calls"] / pages, 2), "ms each": round(scripts["usec_per_call"] / 1000, 3)},
    }


def watch(farm: SimulatedFarm, jobs: int = 200) -> dict[str, Any]:
    """Redis operations a page, of `jobs` pages that one process reads, counted with MONITOR."""
    ids = farm.submit(jobs)
    sent: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    seen = threading.Event()
    stop = threading.Event()

    def listen() -> None:
        with farm.redis_connection() as connection, connection.monitor() as monitor:
            seen.set()
            while not stop.is_set():
                command = monitor.next_command()
                name = str(command["command"]).split(" ", 1)[0].upper()
                (inside if command["client_type"] == "lua" else sent)[name] += 1

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    seen.wait(10)
    farm.node("watched", 1, 0.0)
    farm.wait_ended(ids, 300)
    stop.set()
    farm.stop("worker-watched")
    return {
        "pages": jobs,
        "sent": {name: round(n / jobs, 2) for name, n in sent.most_common() if n >= jobs / 20},
        "inside scripts": {name: round(n / jobs, 2) for name, n in inside.most_common() if n >= jobs / 20},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--processes", default="1,2,3,4")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, SimulatedFarm(Path(folder)) as farm:
        out: dict[str, Any] = {}
        for processes in [int(n) for n in asked.processes.split(",")]:
            out[f"{processes} processes"] = drain(farm, asked.jobs, processes)
            print(
                f"{time.strftime('%H:%M:%S')} {processes}: {out[f'{processes} processes']}", file=sys.stderr, flush=True
            )
        out["operations"] = watch(farm)
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
