"""How long a page waits when its worker is killed: `python -m tests.faults.recovery [N]`, default settings, N kills of each kind.

`node`: kill -9 of a pool, its parent and all its processes, in mid-page; the page runs elsewhere when the other pool has claimed it (the
lease must run out, and the sweep must find it). `process`: kill -9 of the one process that reads; the pool's parent sees it die. Times are
seconds from the kill until the page's next attempt is in the ledger, looked at every 20 ms.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.faults.pages import idle, slow, until
from tests.running_farm import INJECT, RunningFarm


class SecondNode:
    """Another pool of one process on the same farm, as on another machine; started again after it was killed."""

    def __init__(self, farm: RunningFarm) -> None:
        self.farm = farm
        self.pool: subprocess.Popen[bytes] | None = None

    def ready(self) -> None:
        """Until both nodes can read, and nothing is under way."""
        if self.pool is None or self.pool.poll() is not None:
            url = (self.farm.state / "redis" / "url").read_text()
            environment = self.farm.environment | {"OCRFARM_REDIS_URL": url, "OCRFARM_WORKERS": "1"}
            with (self.farm.state / "second.log").open("ab") as log:
                self.pool = subprocess.Popen(
                    [sys.executable, "-m", "ocrfarm", "worker"],
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        until(self._both, 180, "there are never two nodes that can read")

    def _both(self) -> bool:
        # A heart tells of a page for a while after its end; the next page's process would be taken for another's.
        told = processes(self.farm)
        return len(told) == 2 and not any(process["reading"] for process in told) and idle(self.farm)

    def stop(self) -> None:
        if self.pool is not None and self.pool.poll() is None:
            self.pool.send_signal(signal.SIGTERM)
            try:
                self.pool.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(self.pool.pid, signal.SIGKILL)


def processes(farm: RunningFarm) -> list[dict[str, Any]]:
    """What the heart of each worker process that lives said last; what a killed one said stays for a while."""
    with farm.redis() as connection:
        told = [json.loads(said) for key in connection.scan_iter("of:process:*") if (said := connection.get(key))]
    return [process for process in told if psutil.pid_exists(process["pid"])]


def measure(farm: RunningFarm, kind: str, n: int) -> float:
    job = farm.submit(slow(f"Recovery {kind} {n} {time.time_ns()}"), cache="off")
    found: list[int] = []

    def read() -> bool:
        found[:] = [p["pid"] for p in processes(farm) if p["reading"]]
        return bool(found)

    until(read, 60, "the page was never read")
    (pid,) = found
    victim = psutil.Process(pid)
    pool = victim.parent() if kind == "node" else None
    family = [victim] if pool is None else [pool, *pool.children(recursive=True)]
    killed = time.monotonic()
    for process in family:
        process.kill()
    until(lambda: farm.job(job)["attempt"] >= 2, 120, "the page never ran elsewhere")
    took = time.monotonic() - killed
    assert farm.wait([job])[job]["state"] == "succeeded"
    return took


def main(count: int) -> int:
    with tempfile.TemporaryDirectory(prefix="ocrfarm-recovery-") as folder:
        farm = RunningFarm(Path(folder) / "farm", workers=1, python_path=INJECT)
        farm.environment["FAULTS_SLOW_S"] = (
            "8"  # longer than a heartbeat: its heart tells of the page before it is killed
        )
        with farm:
            times: dict[str, list[float]] = {"process": [], "node": []}
            second = SecondNode(farm)
            try:
                for kind, taken in times.items():
                    for n in range(count):
                        second.ready()
                        taken.append(measure(farm, kind, n))
                        print(f"{kind:8} {taken[-1]:6.2f} s", flush=True)
            finally:
                second.stop()
    for kind, taken in times.items():
        least, middle, most = min(taken), statistics.median(taken), max(taken)
        print(f"{kind:8} n={len(taken)}  least {least:.1f} s  median {middle:.1f} s  most {most:.1f} s")
    return 0 if max(max(taken) for taken in times.values()) < 30 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
