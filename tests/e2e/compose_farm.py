"""A farm in containers, of a test's own: docker-compose.yml on a real engine, under a project name and on ports that nobody else has."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.running_farm import ROOT, RunningFarm, free_port

TAG = "test"
PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
STANDING = ("redis", "door", "api", "dispatcher", "worker", "flower")
ADMIN_CLI = 'REDISCLI_AUTH="$(cat /volumes/redis-secrets/admin-password)" redis-cli --user admin --no-auth-warning '


def compose_tool() -> list[str]:
    """Compose v2, else docker-compose 1.29. Skips the test where there is neither; fails it in CI."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    return _missing("no docker compose here")


def need_engine() -> None:
    """Skips the test where no Docker engine answers; fails it in CI. `infra/docker/local-engine.sh up` brings one on a Debian."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        _missing("no Docker engine answers here; infra/docker/local-engine.sh brings one")


def _missing(what: str) -> Any:
    if os.environ.get("CI"):
        pytest.fail(f"{what}; CI must have it")
    pytest.skip(what)


@dataclass(frozen=True)
class Container:
    """One container as the engine sees it now."""

    id: str
    about: dict[str, Any]

    @property
    def service(self) -> str:
        return str(self.about["Config"]["Labels"][SERVICE])

    @property
    def image(self) -> str:
        return str(self.about["Image"])

    @property
    def started(self) -> str:
        return str(self.about["State"]["StartedAt"])

    @property
    def running(self) -> bool:
        return bool(self.about["State"]["Running"])

    @property
    def restarts(self) -> int:
        return int(self.about["RestartCount"])

    @property
    def hostname(self) -> str:
        """What a worker calls its node."""
        return str(self.about["Config"]["Hostname"])

    @property
    def health(self) -> str:
        return str(self.about["State"].get("Health", {}).get("Status", ""))


class ComposeFarm(RunningFarm):
    """What `RunningFarm` does over HTTP, through the farm's door; its processes are containers. `key`: an API key, once there is one."""

    def __init__(self, **settings: Any) -> None:
        self.tool = compose_tool()
        self.project = f"ocrfarm-test-{secrets.token_hex(4)}"
        self.port, self.flower_port = free_port(), free_port()
        own = {"port": self.port, "flower_port": self.flower_port, "tag": TAG, **settings}
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
        self.environment |= {f"OCRFARM_{k.upper()}": str(v) for k, v in own.items()}
        # Engine and tool share a busy machine with what they start.
        self.environment |= {"COMPOSE_PROJECT_NAME": self.project, "COMPOSE_HTTP_TIMEOUT": "300"}
        self.key = ""
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=90, trust_env=False)

    # ------------------------------------------------------------------ the tool
    def compose(self, *arguments: str, timeout: float = 600, **environment: str) -> str:
        """Its standard output; raises with all that it said where it fails."""
        return self._run([*self.tool, *arguments], timeout, **environment)

    def _run(self, argv: Sequence[str], timeout: float, **environment: str) -> str:
        done = subprocess.run(
            argv, cwd=ROOT, env=self.environment | environment, capture_output=True, text=True, timeout=timeout
        )
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(argv)} left with {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
            )
        return done.stdout

    def docker(self, *arguments: str, timeout: float = 120) -> str:
        return self._run(["docker", *arguments], timeout).strip()

    def build(self, commit: str) -> None:
        """Make the images, those that know a commit as of this one. From nothing it takes some minutes, else seconds."""
        self.compose("build", "setup", "worker", "flower", "door", timeout=1500, OCRFARM_COMMIT=commit)

    def up(self, *arguments: str) -> None:
        """Start what does not run; with `--scale` more of it. What runs is left alone."""
        self.compose("up", "-d", "--no-build", "--no-recreate", *arguments)

    def up_as_changed(self, *arguments: str) -> None:
        """Make anew what has other settings now."""
        self.compose("up", "-d", "--no-build", *arguments)

    def publish_redis(self) -> None:
        """From now on with docker-compose.nodes.yml: on this machine's loopback, where a node in a test stands."""
        files = ("docker-compose.yml", "docker-compose.nodes.yml")
        self.environment |= {"COMPOSE_FILE": ":".join(files), "COMPOSE_PATH_SEPARATOR": ":"}
        self.environment |= {"OCRFARM_NODES_LISTEN": "127.0.0.1", "OCRFARM_NODES_PORT": str(free_port())}

    def make_key(self) -> None:
        """As a person does it, once Redis answers."""
        limit = time.monotonic() + 60
        while True:
            try:
                self.key = self.compose(
                    "exec", "-T", "api", "ocrfarm", "keys", "create", "--tenant", "me", "--quiet"
                ).strip()
                break
            except RuntimeError as err:
                if "does not answer" not in str(err) or time.monotonic() > limit:
                    raise
        self.http.headers["X-API-Key"] = self.key

    def replace(self, *services: str) -> str:
        return self._run([str(ROOT / "infra" / "docker" / "replace.sh"), *services], 900)

    def remove(self) -> None:
        """The farm and all that it kept."""
        self.http.close()
        self.compose("down", "-v", "--remove-orphans", "-t", "20")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", "--tail=80", *services)

    # ------------------------------------------------------------------ containers
    def containers(self, *services: str, every: bool = False) -> list[Container]:
        """Those that run (or `every` one), of these services or of all that stand, oldest first."""
        ids = self.docker("ps", "-q", *(["-a"] if every else []), "--filter", f"label={PROJECT}={self.project}").split()
        if not ids:
            return []
        found = [Container(about["Id"], about) for about in json.loads(self.docker("inspect", *ids))]
        return sorted((c for c in found if c.service in (services or STANDING)), key=lambda c: c.about["Created"])

    def inside(self, container: Container, *argv: str) -> str:
        return self.docker("exec", container.id, *argv)

    def told(self, container: Container) -> str:
        """All that it has written, on both ways out."""
        done = subprocess.run(["docker", "logs", container.id], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def redis_cli(self, command: str) -> str:
        return self.inside(self.containers("redis")[0], "sh", "-c", ADMIN_CLI + command)

    def network(self, name: str) -> str:
        return f"{self.project}_{name}"

    # ------------------------------------------------------------------ the farm
    def wait_slots(self, wanted: int, timeout: float = 120) -> None:
        """Until exactly that many worker processes say that they live."""
        limit, told = time.monotonic() + timeout, ""
        while time.monotonic() < limit:
            try:
                answer = self.http.get("/v1/farm")
                told = answer.text
                if answer.status_code == 200 and answer.json()["slots"] == wanted:
                    return
            except httpx.TransportError as err:
                told = repr(err)
            time.sleep(0.2)
        raise TimeoutError(f"not {wanted} slots within {timeout:.0f} s, the farm says {told}:\n{self.logs('worker')}")

    def wait_ready(self, timeout: float = 120) -> None:
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            try:
                if self.http.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise TimeoutError(f"not ready within {timeout:.0f} s:\n{self.logs()}")

    def copy_ledger(self, to: Path) -> Path:
        """Redis' own file, as it lies in its volume; Redis must have stopped."""
        redis = self.containers("redis", every=True)[0]
        self.docker("cp", f"{redis.id}:/volumes/redis", str(to))
        return to
