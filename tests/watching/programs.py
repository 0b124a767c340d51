"""Prometheus and promtool, as Debian's `prometheus` package brings them; a real Prometheus of a test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.running_farm import free_port

MONITORING = Path(__file__).resolve().parents[2] / "infra" / "monitoring"


def found(program: str) -> str:
    """Its path. Skips the test where there is none; fails it in CI."""
    path = shutil.which(program)
    if path is None:
        said = f"no {program} here: install Debian's `prometheus`"
        if os.environ.get("CI"):
            pytest.fail(f"{said}; CI must have it")
        pytest.skip(said)
    return path


def promtool(*arguments: str, told: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it; `told` is its standard input. Its status is the caller's to judge."""
    return subprocess.run([found("promtool"), *arguments], input=told, capture_output=True, text=True, timeout=120)


class Prometheus:
    """A Prometheus on a free port that scrapes every `every`, with rules of its own. Its data lies in `folder`.

    `targets`: addresses of gateways, `rules`: a rule file's text.
    """

    def __init__(self, folder: Path, targets: Sequence[str], rules: str = "groups: []\n", every: str = "1s") -> None:
        self.program = found("prometheus")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rules.yml").write_text(rules, "utf8")
        config = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "ocrfarm", "static_configs": [{"targets": list(targets)}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf8")
        self.port = free_port()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Prometheus:
        with (self.folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(
                [self.program, f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'data'}",
                 f"--web.listen-address=127.0.0.1:{self.port}"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        limit = time.monotonic() + 30
        while True:
            try:
                if self.http.get("/-/ready").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError((self.folder / "prometheus.log").read_text("utf8", "replace")[-3000:])
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """An instant query's series. Raises RuntimeError with what Prometheus says is wrong."""
        return self._data("/api/v1/query", query=expression)

    def over(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series between two times, a value every `step` seconds."""
        return self._data("/api/v1/query_range", query=expression, start=start, end=end, step=step)

    def firing(self) -> dict[str, dict[str, Any]]:
        """Alerts that fire now, by name."""
        answer = self.http.get("/api/v1/alerts").json()
        return {a["labels"]["alertname"]: a for a in answer["data"]["alerts"] if a["state"] == "firing"}

    def _data(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        answer = self.http.get(path, params=parameters).json()
        if answer["status"] != "success":
            raise RuntimeError(f"{parameters['query']}: {answer['error']}")
        return list(answer["data"]["result"])
