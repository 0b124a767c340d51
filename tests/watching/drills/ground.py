"""Where drills are held: a farm, its Prometheus, and ways to do it harm."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.faults.pages import idle, until
from tests.running_farm import INJECT, ROOT, RunningFarm, free_port
from tests.watching.drills.rules import drill_rules
from tests.watching.programs import Prometheus

WARM = 6  # so many times a farm was looked at before anything is done to it


class Ground:
    """A farm of two worker processes whose pages may misbehave (faults/inject), with little Redis and much disk kept free."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        state = folder / "farm"
        state.mkdir(parents=True)
        # The alert fires at twice the reserve: a file of some gigabytes is to reach that.
        self.spare_mb = 3000
        free_mb = shutil.disk_usage(state).free // 1_000_000
        self.farm = RunningFarm(
            state, python_path=INJECT, redis_maxmemory_mb=64, min_free_disk_mb=max(0, free_mb - self.spare_mb) // 2,
            webhook_secret="of the drills, and of nothing else", webhook_hosts="127.0.0.1", webhook_give_up_s=3,
        )  # fmt: skip
        self.second: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Ground:
        self.farm.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.farm.stop()

    def rested(self) -> None:
        """Until the farm has got over the last drill."""
        until(lambda: self.farm.http.get("/readyz").status_code == 200, 120, "the farm did not get well again")
        until(lambda: idle(self.farm) and len(self.farm.readers()) == 2, 180, "the farm did not come to rest")

    @contextlib.contextmanager
    def watched(self, name: str, faster: float, instead: Mapping[str, str], *others: str) -> Iterator[Prometheus]:
        targets = [f"127.0.0.1:{self.farm.port}", *others]
        with Prometheus(self.folder / f"prometheus-{name}", targets, drill_rules(faster, instead)) as prometheus:
            # The first scrape comes only after some seconds; what a rule compares with must have been seen.
            until(lambda: seen(prometheus) >= WARM, 60, "Prometheus does not get to see the farm")
            yield prometheus

    # ------------------------------------------------------------------ harm
    @contextlib.contextmanager
    def stopped(self, *pids: int) -> Iterator[None]:
        """Processes that stand still (SIGSTOP) meanwhile."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def unsupervised(self) -> Iterator[None]:
        """Whatever dies meanwhile stays dead."""
        assert self.farm.process is not None
        with self.stopped(self.farm.process.pid):
            yield

    def kill_workers(self) -> None:
        """The node's pool, whole: nobody says farewell."""
        parent = psutil.Process(self.farm.pid("worker"))
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    @contextlib.contextmanager
    def second_gateway(self) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        """Another gateway of the same farm, with the same settings on a port of its own; (port, process)."""
        port = free_port()
        environment = psutil.Process(self.farm.pid("api")).environ() | {"OCRFARM_PORT": str(port)}
        with (self.folder / "second.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ocrfarm", "api"], env=environment, cwd=ROOT, stdout=log, stderr=log
            )
        try:
            until(lambda: httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200, 30, "no second gateway")
            yield port, process
        finally:
            process.kill()
            process.wait(10)


def seen(prometheus: Prometheus) -> float:
    """How many times it has had the farm's figures."""
    return max((float(one["value"][1]) for one in prometheus.ask("count_over_time(ocrfarm_slots[5m])")), default=0)


@contextlib.contextmanager
def again_and_again(what: Callable[[], Any], pause: float = 0.05, threads: int = 1) -> Iterator[None]:
    """Do it meanwhile, whatever it answers."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(pause):
            with contextlib.suppress(httpx.HTTPError):
                what()

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        over.set()
        for worker in workers:
            worker.join(120)
