"""infra/pi: what the installer chooses and refuses, and what systemd says of the unit. Run for real in tests/nodes."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

PI = Path(__file__).parents[2] / "infra" / "pi"
TOKEN = "ocr_0123456789abcdef_" + "x" * 43


def install(*words: str, token: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    return subprocess.run([PI / "install.sh", *words], env=env, input=token, capture_output=True, text=True, timeout=60)


def test_it_says_what_it_would_choose() -> None:
    done = install("--print")
    assert done.returncode == 0, done.stderr
    cores = len(os.sched_getaffinity(0))
    processes = int(done.stdout.split(" MB: ")[1].split()[0])
    assert 1 <= processes <= cores
    assert "3 processes, profile fast," in install("--print", "--processes", "3", "--preload", "fast").stdout


@pytest.mark.parametrize(
    ("words", "token", "said"),
    [
        ((), TOKEN, "which farm?"),
        (("--url", "http://farm:8000"), "", "that is no token"),
        (("--url", "http://farm:8000"), "ocr_x", "that is no token"),
        (("--url",), TOKEN, "--url takes a value"),
        (("--colour", "red"), TOKEN, "there is no option --colour"),
        (("--processes", "many", "--print"), "", "--processes takes a number"),
    ],
)
def test_what_it_refuses_it_says(words: tuple[str, ...], token: str, said: str) -> None:
    done = install(*words, token=token)
    assert done.returncode == 2
    assert said in done.stderr


def test_its_help_is_its_head() -> None:
    done = install("--help")
    assert "--url URL" in done.stdout
    assert "set -euo" not in done.stdout


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(PI / "ocrfarm-node.service")
    return parser["Service"]


def test_the_unit_is_kept_alive_and_held_in() -> None:
    assert unit()["Restart"] == "always"
    assert unit()["User"] == "ocrfarm"
    assert unit()["EnvironmentFile"] == "/etc/ocrfarm/node.env"
    grace = float(unit()["TimeoutStopSec"])
    from ocrfarm_worker.joined.agent import GRACE_S

    assert grace > GRACE_S, "systemd would kill the pool before the agent gives up on it"


def test_systemd_finds_nothing_wrong_with_it() -> None:
    """And gives it at most 2 of 10 for what it leaves open. Skipped where there is no systemd-analyze."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    path = str(PI / "ocrfarm-node.service")
    said = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, timeout=60).stderr
    own = [row for row in said.splitlines() if "ocrfarm-node" in row and "is not executable" not in row]
    assert own == []
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", path],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stdout[-500:]
