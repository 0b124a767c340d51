"""`ocrfarm up`, the whole of it: real processes, real documents, through the HTTP interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import redis_server_program
from tests.documents import png
from tests.running_farm import ROOT, RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(900)]  # the first of them may build the models


def environment(state: Path) -> dict[str, str]:
    """Settings of a farm of its own, on free ports; the built models are shared by the tests."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
    return env | {
        "OCRFARM_STATE": str(state),
        "OCRFARM_PORT": "0",
        "OCRFARM_FLOWER_PORT": "0",
        "OCRFARM_WORKERS": "2",
        "OCRFARM_MODEL_FOLDER": str(ROOT / ".ocrfarm" / "models"),
        "COLUMNS": "250",
    }


@pytest.fixture(scope="module", autouse=True)
def _redis() -> None:
    redis_server_program()


def once(state: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "ocrfarm", "up", "--once", *map(str, files)]
    return subprocess.run(arguments, env=environment(state), capture_output=True, text=True, timeout=800)


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_the_samples_are_read_and_the_farm_stops(tmp_path: Path) -> None:
    done = once(tmp_path / "state")
    told = done.stdout
    assert done.returncode == 0, told + done.stderr
    printed = [line.strip(" │").partition(" ")[2].strip() for line in told.splitlines() if line.startswith("│")]
    goldens = sorted((ROOT / "samples" / "golden").glob("*.txt"))
    assert len(goldens) >= 7
    for golden in goldens:
        assert golden.name.removesuffix(".txt") in told
        wanted = [line.strip() for line in golden.read_text("utf8").replace("\f", "\n").split("\n") if line.strip()]
        # The 8-bit models may take a full-width comma for a half-width one; that the text is right is tests/unit/worker's to say.
        near = [max(SequenceMatcher(None, line, read).ratio() for read in printed) for line in wanted]
        assert sum(near) / len(near) > 0.97, (golden.name, sorted(zip(near, wanted, strict=True))[:5])
    assert "confidence 0.9" in told or "confidence 1.0" in told
    assert "has done what it was started for, and stops" in told
    assert "http://127.0.0.1:" not in told, "addresses of a farm that is gone in a moment"
    assert not (tmp_path / "state" / "pids.json").exists()


def test_a_document_that_cannot_be_read_is_told_and_counts(tmp_path: Path) -> None:
    good, bad, words = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "words.txt"
    good.write_bytes(png("All is well"))
    bad.write_bytes(png("Cut short")[:200])
    words.write_text("no picture")
    done = once(tmp_path / "state", good, bad, words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "All is well" in done.stdout
    assert "unreadable" in done.stdout
    assert "unsupported_type" in done.stdout


@contextmanager
def serving(state: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`ocrfarm up` with one document; it goes on serving."""
    document, out = state.with_suffix(".png"), state.with_suffix(".out")
    document.write_bytes(png(f"Read for {state.name}"))
    with out.open("wb") as log:
        farm = subprocess.Popen(
            [sys.executable, "-m", "ocrfarm", "up", str(document)], env=environment(state), stdout=log, stderr=log
        )
    try:
        ends = time.monotonic() + 800
        while "Ctrl-C stops it" not in out.read_text("utf8"):
            assert farm.poll() is None, out.read_text("utf8")
            assert time.monotonic() < ends, out.read_text("utf8")
            time.sleep(0.1)
        yield farm, out
    finally:
        if farm.poll() is None:
            farm.terminate()
            farm.wait(90)


def addresses(out: Path) -> dict[str, str]:
    rows = [line.split() for line in out.read_text("utf8").splitlines() if "http://" in line]
    return {row[0]: row[-1] for row in rows}


def test_two_farms_serve_side_by_side_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as (one, first), serving(tmp_path / "two") as (two, second):
        for farm, out, name in ((one, first, "one"), (two, second, "two")):
            told = addresses(out)
            assert f"Read for {name}" in out.read_text("utf8")
            with httpx.Client(timeout=30, trust_env=False) as http:
                assert http.get(told["page"]).status_code == 200
                assert http.get(told["page"] + "/docs").status_code == 200
                ends = time.monotonic() + 60  # ready with the first process; the second is on its way
                while (ready := http.get(told["page"] + "/readyz").json())["slots"] < 2:
                    assert time.monotonic() < ends, ready
                    time.sleep(0.2)
                assert ready["version"]
                assert [j["filename"] for j in http.get(told["page"] + "/v1/jobs").json()["jobs"]] == [f"{name}.png"]
                flower = http.get(told["Flower"] + "/workers")
                assert flower.status_code == 200
                stop = http.post(told["Flower"] + "/api/worker/shutdown/any")
                assert stop.status_code in (401, 403, 404, 405)  # Flower looks on, and stops nobody
            if farm is one:
                processes = family(psutil.Process(farm.pid))
                assert len(processes) >= 8  # supervisor, Redis, gateway, dispatcher, pool and two of it, Flower
                farm.send_signal(signal.SIGINT)
                assert farm.wait(90) == 0
                assert alive(processes) == []


def test_nothing_outlives_a_farm_that_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as (farm, _):
        processes = family(psutil.Process(farm.pid))
        assert len(processes) >= 8
        farm.kill()
        farm.wait()
        ends = time.monotonic() + 10
        while left := alive(processes):
            assert time.monotonic() < ends, [p.cmdline() for p in left]
            time.sleep(0.1)


def test_whatever_dies_comes_back_and_reads(tmp_path: Path) -> None:
    with RunningFarm(tmp_path / "state") as farm:
        for part in ("worker", "redis", "api", "dispatcher"):
            before = farm.kill(part)
            farm.wait_restarted(part, before)
            job = farm.submit(png(f"After the death of {part}"))
            assert farm.wait([job])[job]["state"] == "succeeded"
            assert farm.text(job).split() == f"After the death of {part}".split()
            assert json.loads((farm.state / "pids.json").read_text())[part]["restarts"] == 1
