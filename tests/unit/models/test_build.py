"""Building on first use: once, whoever asks; whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocrfarm_models import build as building
from ocrfarm_models import registry
from ocrfarm_models.cli import models
from ocrfarm_shared.settings import settings

BUILD = "from ocrfarm_models.build import build; print(len(build(['ppocrv6-rec'])))"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCRFARM_MODEL_FOLDER", str(tmp_path))
    settings.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def _settings_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    yield
    monkeypatch.undo()
    settings.cache_clear()


def test_two_processes_build_a_model_once(folder: Path) -> None:
    environment = os.environ | {"OCRFARM_MODEL_FOLDER": str(folder)}
    both = [subprocess.Popen([sys.executable, "-c", BUILD], env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    made = [int(process.communicate(timeout=120)[0]) for process in both]
    assert sorted(made) == [0, 1]
    assert not list(folder.glob("*.part"))


def test_built_once_again_with_force_and_the_same_each_time(folder: Path) -> None:
    told: list[str] = []
    assert building.build(["ppocrv6-rec", "ppocr-cls"], tell=told.append) == ["ppocrv6-rec"]
    assert told == ["ppocrv6-rec: reducing its output inside the graph"]
    first = registry.resolve("ppocrv6-rec").sha256
    assert building.build(["ppocrv6-rec"]) == []
    assert building.build(["ppocrv6-rec"], force=True) == ["ppocrv6-rec"]
    assert registry.resolve("ppocrv6-rec").sha256 == first


def test_a_build_that_dies_leaves_nothing_that_is_taken_for_a_model(folder: Path) -> None:
    entry = registry.row("ppocrv6-rec")
    path = registry.built_path(entry)
    path.with_suffix(".part").write_bytes(b"half a model")
    assert not building.is_built(entry.id)
    path.write_bytes(b"half a model")
    registry.stamp_path(path).write_text(json.dumps({"sha256": "0" * 64}), "utf8")
    assert not building.is_built(entry.id)
    assert building.build([entry.id]) == [entry.id]


def test_the_command_lists_verifies_builds_and_tells_where(folder: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        answer = CliRunner().invoke(models, arguments)
        return answer.exit_code, answer.stdout + answer.stderr * ("verify" in arguments)

    assert run("path", "ppocrv6-rec")[0] == 1
    code, text = run("verify")
    assert code == 1
    assert "run `ocrfarm models build ppocrv6-rec`" in text
    assert run("build", "ppocrv6-rec") == (0, "made: ppocrv6-rec\n")
    assert run("build", "ppocrv6-rec") == (0, "all there already\n")
    code, text = run("path", "ppocrv6-rec")
    assert (code, Path(text.strip()).parent) == (0, folder)
    code, text = run("verify", "ppocrv6-rec", "ppocr-cls")
    assert code == 0
    assert registry.row("ppocrv6-rec").version in text
    code, text = run("list")
    assert code == 0
    assert all(
        word in text
        for word in ("detector", "recognizer", "classifier", "Apache-2.0", "ready", "not ready: ocrfarm models build")
    )
    assert run("build", "nope")[0] == 1
