"""A node of a test's own: `ocrfarm worker join` in a state folder of its own, which shares nothing with the farm but loopback TCP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.running_farm import ROOT, RunningFarm


class JoinedNode:
    """`name` is its id; `token` None: as it remembers. Built models are those of this checkout."""

    def __init__(
        self, farm: RunningFarm, state: Path, name: str, token: str | None, url: str = "", **settings: Any
    ) -> None:
        self.farm, self.state, self.name = farm, state, name
        self.url = url or f"http://127.0.0.1:{farm.port}"
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log = state / "node.log"
        chosen = {"state": state, "node": name, "workers": 1, "model_folder": ROOT / ".ocrfarm" / "models", **settings}
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
        self.environment |= {f"OCRFARM_{k.upper()}": str(v) for k, v in chosen.items()}
        if token:
            self.environment |= {"OCRFARM_JOIN_URL": self.url, "OCRFARM_NODE_TOKEN": token}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> JoinedNode:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ocrfarm", "worker", "join"],
                env=self.environment, cwd=self.state, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(90)
        finally:
            for left in self._family():
                left.kill()

    def _family(self) -> list[psutil.Process]:
        """What runs in its state folder."""
        found = []
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get("OCRFARM_STATE") == str(self.state):
                found.append(process)
        return found

    def view(self, headers: Mapping[str, str]) -> dict[str, Any] | None:
        """As the gateway shows it; None where it does not."""
        nodes = self.farm.http.get("/v1/nodes", headers=headers).json()["nodes"]
        return next((node for node in nodes if node["name"] == self.name), None)

    def wait_state(self, state: str, headers: Mapping[str, str], timeout: float = 120) -> dict[str, Any]:
        limit = time.monotonic() + timeout
        while True:
            view = self.view(headers)
            if view is not None and view["state"] == state:
                return view
            assert time.monotonic() < limit, (
                f"it is {view and view['state']}, not {state}:\n{self.logs()}\n{self.farm.logs()}"
            )
            time.sleep(0.2)

    def wait_log(self, words: str, timeout: float = 90) -> None:
        limit = time.monotonic() + timeout
        while words not in self.logs():
            assert time.monotonic() < limit, f"it never said {words!r}:\n{self.logs()[-6000:]}"
            time.sleep(0.1)

    def logs(self) -> str:
        return self.log.read_text("utf8", "replace") if self.log.exists() else ""

    def memo(self) -> dict[str, Any]:
        return dict(json.loads((self.state / "node.json").read_text()))

    def cached(self) -> list[Path]:
        return sorted((self.state / "uploads").glob("??/*"))
