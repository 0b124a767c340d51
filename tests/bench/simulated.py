"""A farm of simulated nodes: a real Redis with the farm's users, a real dispatcher, real worker pools whose pages take what they are told.

No gateway: jobs are submitted by the ledger's own call, as many as are asked for, before a worker is started. What is measured is taken
from the ledger: when each run was begun and ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import redis

from ocrfarm.farm.embedded_redis import EmbeddedRedis, find_server
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.contracts import OcrOptions, Submission
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.redis_users import ADMIN
from ocrfarm_shared.settings import WORKER_START, Settings, read_settings
from tests.running_farm import ROOT, free_port

INJECT = ROOT / "tests" / "bench" / "inject"
TENANT = "bench"


class SimulatedFarm:
    """`folder` holds everything. Use it as a context manager; what it started is stopped at the end."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        state = folder / "state"
        state.mkdir(parents=True)
        self.redis = EmbeddedRedis.prepare(find_server(), state / "redis", free_port(), 1024)
        self.settings: Settings = read_settings(
            {}, state=state, redis_url=self.redis.url, flower=False, model_folder=ROOT / ".ocrfarm" / "models", **settings
        )  # fmt: skip
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.admin = redis.Redis(port=self.redis.port, username=ADMIN, password=self.redis.passwords[ADMIN])
        self.ledger = Ledger(self.admin, self.settings.namespace)
        self.blob = BlobStore.name(TENANT, "0" * 64)
        path = BlobStore(self.settings.blob_folder).path(self.blob)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"simulated")

    def __enter__(self) -> Self:
        self.start("redis", self.redis.argv)
        limit = time.monotonic() + 30
        while not self.redis.answers():
            if time.monotonic() > limit:
                raise TimeoutError("Redis does not start")
            time.sleep(0.05)
        self.start("dispatcher", ["dispatcher"])
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(self.processes):
            process = self.processes[name]
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        self.admin.close()

    def start(self, name: str, argv: list[str], **environment: str) -> int:
        """A part of the farm by its command's words, or Redis by its whole argv; its pid."""
        role = name.partition("-")[0]
        env = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
        if role != "redis":
            argv = [sys.executable, "-P", "-m", "ocrfarm", *argv]
            own = self.settings.model_copy(update={"redis_user": role, "redis_password": self.redis.passwords[role]})
            env |= own.environment() | WORKER_START | {"PYTHONPATH": str(INJECT)} | environment
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(argv, env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        self.processes[name] = process
        return process.pid

    def node(self, name: str, processes: int, page_s: float, slowness: float = 1.0, **environment: str) -> int:
        """A pool of worker processes; its parent's pid."""
        told = {"SIMULATED_PAGE_S": str(page_s), "SIMULATED_SLOWNESS": str(slowness), "OCRFARM_NODE": name}
        return self.start(f"worker-{name}", ["worker", "-p", str(processes)], **told, **environment)

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(40)

    def submit(self, count: int, size: int = 200_000) -> list[str]:
        """Single pages, each a job and a run of its own, with a cache key of its own; the jobs' ids. `size`: bytes that
        each is said to have."""
        submission = Submission(ocr=OcrOptions())
        upload = calls.Upload(self.blob, "image/png", size, plan=False)
        out = []
        for _ in range(count):
            key = f"bench:{time.time_ns()}"
            call = calls.submit(
                tenant=TENANT, upload=upload, submission=submission, cache_key=key, settings=self.settings
            )
            answer = self.ledger(call)
            if answer.outcome != "new":
                raise RuntimeError(f"not a new job: {answer.outcome}")
            out.append(answer.job_id)
        return out

    def redis_connection(self) -> redis.Redis:
        """Another one, as the admin."""
        return redis.Redis(port=self.redis.port, username=ADMIN, password=self.redis.passwords[ADMIN])

    def state(self) -> Any:
        return self.ledger(calls.farm(TENANT))

    def wait_slots(self, count: int, timeout: float = 120) -> None:
        """Until that many worker processes live."""
        self._until(lambda: self.state().slots >= count, timeout, f"there are never {count} processes")

    def wait_ended(self, jobs: list[str], timeout: float) -> list[tuple[float, float]]:
        """Until all have ended well: when each was begun and ended, by the ledger's clock, in order of ending."""

        def ended() -> bool:
            state = self.state()
            if failed := state.stats.get("attempts_failed", 0):
                raise RuntimeError(f"{failed} attempts failed:\n{self.words()}")
            return bool(state.active_jobs == 0)

        self._until(ended, timeout, "the jobs never end")
        out = []
        for n in range(0, len(jobs), 500):
            for record in self.ledger(calls.view(TENANT, jobs[n : n + 500], position=False)):
                if record.view.state != "succeeded" or record.view.started_at is None or record.view.ended_at is None:
                    raise RuntimeError(f"{record.id} is {record.view.state}: {record.view.error}")
                out.append((record.view.started_at, record.view.ended_at))
        if len(out) != len(jobs):
            raise RuntimeError(f"{len(jobs) - len(out)} jobs are gone")
        return sorted(out, key=lambda pair: pair[1])

    def _until(self, so: Any, timeout: float, otherwise: str) -> None:
        limit = time.monotonic() + timeout
        while not so():
            if time.monotonic() > limit:
                raise TimeoutError(f"{otherwise}:\n{self.words()}")
            time.sleep(0.1)

    def words(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {p.name}\n{p.read_text('utf8', 'replace')[-2000:]}" for p in self.logs.glob("*.log"))
