"""A real farm of a test's or a benchmark's own: `ocrfarm up` on free ports, its processes found by pids.json and killed at will."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

ROOT = Path(__file__).resolve().parents[1]
INJECT = ROOT / "tests" / "faults" / "inject"
ENDED = {"succeeded", "partial", "failed", "cancelled"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RunningFarm:
    """`ocrfarm up` with settings of its own. Built models are shared by all farms of this checkout, so they are built once.

    `patches`: [file, old text, new text] each, applied to the product's sources in the farm's processes (faults/inject), before those of
    FAULTS_PATCHES, by which faults/defences.py takes a defence out of whatever farm a test starts.
    """

    def __init__(
        self,
        state: Path,
        *,
        workers: int = 2,
        python_path: Path | None = None,
        patches: Sequence[tuple[str, str, str]] = (),
        **settings: Any,
    ) -> None:
        self.state = state
        self.port = free_port()
        self.log = state / "up.log"
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o700)  # its log lies in there before the farm has seen the folder
        chosen = {
            "state": state, "port": self.port, "redis_port": free_port(), "flower": 0, "workers": workers,
            "model_folder": ROOT / ".ocrfarm" / "models", **settings,
        }  # fmt: skip
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
        self.environment |= {f"OCRFARM_{k.upper()}": str(v) for k, v in chosen.items()}
        patches = [*patches, *json.loads(os.environ.get("FAULTS_PATCHES", "[]"))]
        if python_path or patches:
            self.environment["PYTHONPATH"] = str(python_path or INJECT)
            self.environment["FAULTS_PATCHES"] = json.dumps(patches)
            self.environment["FAULTS_DIE_AT"] = str(state / "die-at")
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=90, trust_env=False)

    # ------------------------------------------------------------------ life
    def start(self, timeout: float = 300) -> RunningFarm:
        self.launch()
        self.wait_ready(timeout)
        return self

    def launch(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ocrfarm", "up", "--no-samples"],
                env=self.environment, cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def wait_ready(self, timeout: float = 60) -> None:
        limit = time.monotonic() + timeout
        while True:
            try:
                if self.http.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"the farm left with {self.process.returncode}:\n{self.logs()}")
            if time.monotonic() > limit:
                raise TimeoutError(f"the farm was not ready in {timeout:.0f} s:\n{self.logs()}")
            time.sleep(0.1)

    def stop(self) -> None:
        self.http.close()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise

    def __enter__(self) -> RunningFarm:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def logs(self) -> str:
        """The ends of all its logs."""
        paths = [self.log, *sorted((self.state / "logs").glob("*.log"))]
        return "\n".join(f"--- {p.name}\n{p.read_text('utf8', 'replace')[-3000:]}" for p in paths if p.exists())

    # ------------------------------------------------------------------ processes
    def pid(self, part: str) -> int:
        """Of `redis`, `api`, `dispatcher`, `worker`, as pids.json names them now."""
        return int(json.loads((self.state / "pids.json").read_text())[part]["pid"])

    def worker_children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid("worker")).children(recursive=True)

    def readers(self) -> list[psutil.Process]:
        """The processes that read pages: the pool's children. (Each has one of its own that opens documents.)"""
        return [p for p in psutil.Process(self.pid("worker")).children() if p.status() != psutil.STATUS_ZOMBIE]

    def kill(self, part: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Signal a part; returns its pid. The supervisor brings it back."""
        pid = self.pid(part)
        os.kill(pid, how)
        return pid

    def wait_restarted(self, part: str, old: int, timeout: float = 60) -> None:
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            try:
                if self.pid(part) != old and psutil.pid_exists(self.pid(part)):
                    return
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.05)
        raise TimeoutError(f"{part} was not restarted:\n{self.logs()}")

    def redis(self) -> redis.Redis:
        """A connection to its embedded Redis."""
        return redis.Redis.from_url((self.state / "redis" / "url").read_text())

    def pages_read(self) -> int:
        """Results recorded since the ledger began."""
        return int(self.http.get("/v1/farm").json()["pages_total"])

    # ------------------------------------------------------------------ jobs
    def submit(self, document: Path | bytes, *, name: str = "", patient: bool = True, **fields: str) -> str:
        """POST one document, again while the gateway is away or full; the job's id. An Idempotency-Key makes that safe."""
        data = document if isinstance(document, bytes) else document.read_bytes()
        name = name or (document.name if isinstance(document, Path) else "upload.png")
        key = os.urandom(12).hex()
        for _ in range(600):
            try:
                answer = self.http.post(
                    "/v1/jobs", files={"file": (name, data)}, data=fields, headers={"Idempotency-Key": key}
                )
                if answer.status_code in (200, 202):
                    return str(answer.json()["id"])
                if not patient or answer.status_code not in (429, 503):
                    raise RuntimeError(f"{answer.status_code}: {answer.text}")
            except httpx.TransportError:
                if not patient:
                    raise
            time.sleep(0.1)
        raise TimeoutError("the gateway stayed away")

    def job(self, job_id: str, wait: float = 0) -> dict[str, Any]:
        answer = self.http.get(f"/v1/jobs/{job_id}", params={"wait": wait} if wait else None)
        answer.raise_for_status()
        return dict(answer.json())

    def wait(self, job_ids: Iterable[str], timeout: float = 120) -> dict[str, dict[str, Any]]:
        """Until all have ended, through gateway and Redis restarts; their views by id."""
        limit, ended, waiting = time.monotonic() + timeout, {}, list(job_ids)
        while waiting:
            if time.monotonic() > limit:
                raise TimeoutError(f"{len(waiting)} jobs never ended, e.g. {waiting[:3]}:\n{self.logs()}")
            try:
                view = self.job(waiting[0], wait=5)
            except (httpx.TransportError, httpx.HTTPStatusError):
                time.sleep(0.2)
                continue
            if view["state"] in ENDED:
                ended[waiting.pop(0)] = view
        return ended

    def text(self, job_id: str) -> str:
        answer = self.http.get(f"/v1/jobs/{job_id}/result", params={"format": "txt"})
        answer.raise_for_status()
        return answer.text

    def document(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/v1/jobs/{job_id}/result", params={"format": "json"})
        answer.raise_for_status()
        return dict(answer.json())
