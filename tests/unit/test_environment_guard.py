"""What tests/conftest.py does about a test that changes the environment of all that come after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import os

import pytest

from ocrfarm_shared.settings import prepare_worker_environment, read_settings, settings
from tests.conftest import nothing_is_left_in_the_environment


def test_leaves_a_setting():
    os.environ["OCRFARM_REDIS_USER"] = "gateway"


def test_finds_none_of_it():
    assert "OCRFARM_REDIS_USER" not in os.environ


def test_takes_one_away():
    del os.environ["OCRFARM_LEASE_S"]


def test_finds_it_again():
    assert os.environ["OCRFARM_LEASE_S"] == "17"


def test_becomes_a_worker():
    prepare_worker_environment(workers=7)


def test_is_no_worker():
    assert not {"OCRFARM_WORKERS", "REMAP_SIGTERM", "OMP_NUM_THREADS"} & os.environ.keys()


def test_lets_a_reading_outlive_its_variable(monkeypatch):
    monkeypatch.setenv("OCRFARM_WORKERS", "5")
    settings.cache_clear()
    assert settings().workers == 5


def test_reads_its_own():
    assert settings() == read_settings()


def test_cleans_up(monkeypatch):
    monkeypatch.setenv("OCRFARM_WORKERS", "5")
    monkeypatch.delenv("OCRFARM_LEASE_S")
"""


def test_a_test_that_leaves_a_setting_behind_fails_and_the_next_one_does_not_see_it(tmp_path: Path) -> None:
    file = tmp_path / "test_leaving.py"
    file.write_text(TESTS, "utf8")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", tmp_path, "-qrA", file],
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "OCRFARM_LEASE_S": "17"},
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    said = {line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("ERROR ", "PASSED "))}
    leaving = {
        "test_leaves_a_setting",
        "test_takes_one_away",
        "test_becomes_a_worker",
        "test_lets_a_reading_outlive_its_variable",
    }
    assert {line.partition("::")[2] for line in said if line.startswith("ERROR")} == leaving, done.stdout
    assert len([line for line in said if line.startswith("PASSED")]) == 9, done.stdout
    assert "This test leaves behind: OCRFARM_REDIS_USER." in done.stdout
    assert "This test leaves behind: what settings() read." in done.stdout
