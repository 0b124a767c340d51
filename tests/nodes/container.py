"""A node in a container that shares nothing with the farm but the network: no volume, no file, no name. Needs a Docker engine."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.running_farm import ROOT
from tests.unit.worker.test_samples import distance

SAMPLES = ROOT / "samples"
USUAL_IMAGE = "python:3.11-slim-bookworm"


def engine() -> None:
    """Skips where no Docker engine answers; fails in CI, which starts one (infra/docker/local-engine.sh)."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        return
    if os.environ.get("CI"):
        pytest.fail("no Docker engine answers; CI must have one")
    pytest.skip("no Docker engine answers here")


def docker(*arguments: str, timeout: float = 120) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-3000:]}"
    return done.stdout.strip()


def wheel(folder: Path) -> Path:
    """This checkout as a wheel."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True, timeout=300)
    (made,) = folder.glob("*.whl")
    return made


def image(tag: str, folder: Path, base: str, foreign: str = "", **other: str) -> str:
    """A machine on which install.sh has run, with the lock file's libraries; `other`: another version of one of them. Docker keeps the
    layers that did not change. `foreign`: another kind of machine (`aarch64`): its libraries are unpacked here, because under an emulator
    pip takes half an hour for that."""
    context = folder / "context"
    (context / "infra").mkdir(parents=True)
    shutil.copytree(ROOT / "infra" / "pi", context / "infra" / "pi")
    wheel(context)
    (context / "requirements.txt").write_text("\n".join(locked(**other)) + "\n")
    libraries = context / "site-packages"
    libraries.mkdir()
    if foreign:
        unpack(foreign, context / "requirements.txt", libraries)
    passed = [name for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST") if name in os.environ]
    docker(
        "build", "--quiet", f"--network={os.environ.get('BUILD_NETWORK', 'default')}", "--tag", tag,
        "--file", str(ROOT / "tests" / "nodes" / "node.Dockerfile"), "--build-arg", f"PYTHON_IMAGE={base}",
        *(part for name in passed for part in ("--build-arg", name)), str(context),
        timeout=3600,
    )  # fmt: skip
    return tag


def unpack(machine: str, requirements: Path, into: Path) -> None:
    """Wheels for that kind of machine and Debian 12's Python, as pip would put them into its site-packages."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [
            uv, "pip", "install", "--quiet", "--target", into, "--python-platform", f"{machine}-manylinux_2_28",
            "--python-version", "3.11", "--only-binary", ":all:", "-r", requirements,
        ],
        cwd=ROOT, check=True, timeout=1200,
    )  # fmt: skip


def locked(**other: str) -> list[str]:
    """What `ocrfarm[worker]` needs, in pip's words."""
    uv = Path(sys.executable).with_name("uv")
    told = subprocess.run(
        [uv, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--no-annotate", "--extra", "worker"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
    ).stdout  # fmt: skip
    rows = [row for row in told.splitlines() if row and not row.startswith("#")]
    return [f"{name}=={other[name]}" if (name := row.partition("==")[0]) in other else row for row in rows]


@contextmanager
def network() -> Iterator[tuple[str, str]]:
    """A network of containers of the test's own: its name, and this machine's address in it."""
    name = f"ocrfarm-test-{secrets.token_hex(4)}"
    docker("network", "create", "--label", "ocrfarm-test=1", name)
    try:
        told = json.loads(docker("network", "inspect", name))
        yield name, str(told[0]["IPAM"]["Config"][0]["Gateway"])
    finally:
        docker("network", "rm", name)


def right(name: str, text: str) -> bool:
    """Whether it is the sample's text, as the 8-bit models are held to (tests/unit/worker/test_samples.py): one character in a hundred."""
    golden = (SAMPLES / "golden" / f"{name}.txt").read_text("utf8").removesuffix("\n")
    return distance(text, golden) <= 0.01 * len(golden)


class Container:
    """One container that runs `ocrfarm worker join`, in that network alone. `more`: further arguments of `docker run`."""

    def __init__(self, image: str, name: str, network: str, url: str, token: str, *more: str, **settings: Any) -> None:
        self.name, self.network = name, network
        chosen = {"join_url": url, "node_token": token, "node": name, "workers": 1, **settings}
        self.id = docker(
            "run", "--detach", "--hostname", name, "--network", network, *more,
            *(part for k, v in chosen.items() for part in ("--env", f"OCRFARM_{k.upper()}={v}")), image,
        )  # fmt: skip

    def logs(self) -> str:
        done = subprocess.run(["docker", "logs", self.id], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def inspect(self) -> dict[str, Any]:
        return dict(json.loads(docker("inspect", self.id))[0])

    def wait_log(self, words: str, timeout: float = 120) -> None:
        limit = time.monotonic() + timeout
        while words not in self.logs():
            assert time.monotonic() < limit, f"it never said {words!r}:\n{self.logs()[-5000:]}"
            time.sleep(0.5)

    def remove(self) -> None:
        subprocess.run(["docker", "rm", "--force", "--volumes", self.id], capture_output=True, timeout=120)
