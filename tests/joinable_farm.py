"""A farm of a test's own that nodes can join."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.running_farm import RunningFarm


class Joinable:
    """A farm that nodes can join: with a node token, and a key of all other roles, both made before it is started. `own` is its own node,
    which is drained where all is to be read by others."""

    own = ""

    def __init__(self, farm: RunningFarm) -> None:
        self.farm = farm
        self.token = self.ocrfarm("node", "token", "-q")
        self.key = self.ocrfarm(
            "keys", "create", "--tenant", "a", "-q", *(f"--role={r}" for r in ("submit", "read", "admin"))
        )
        self.headers = {"X-API-Key": self.key}
        farm.http.headers.update(self.headers)
        farm.environment["OCRFARM_API_KEY"] = self.key

    def ocrfarm(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ocrfarm", *arguments],
            env=self.farm.environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def drain_own(self) -> None:
        self.own = self.own or self.names()[0]
        self.drain(self.own)

    def names(self) -> list[str]:
        return [node["name"] for node in self.farm.http.get("/v1/farm").json()["nodes"]]

    def drain(self, node: str, on: bool = True) -> None:
        said = self.ocrfarm("node", "drain" if on else "undrain", node, "--url", str(self.farm.http.base_url))
        assert node in said

    def fetched(self) -> int:
        """Uploads that the gateway gave to nodes since it was started."""
        told = self.farm.http.get("/metrics").text
        rows = re.findall(
            r'^ocrfarm_http_requests_total\{.*route="/v1/nodes/units/\{unit\}/upload".*\} ([\d.]+)', told, re.M
        )
        return int(sum(float(row) for row in rows))
