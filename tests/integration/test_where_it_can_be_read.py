"""A page goes to nodes that can read it, and waits, saying so, while there is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import png
from tests.running_farm import ROOT, RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[RunningFarm]:
    """Its own node reads captchas and nothing else."""
    with RunningFarm(tmp_path / "state", workers=1, profiles="crnn-captcha") as farm:
        yield farm


def second_node(farm: RunningFarm, profiles: str) -> subprocess.Popen[bytes]:
    url = (farm.state / "redis" / "url").read_text()
    environment = farm.environment | {"OCRFARM_REDIS_URL": url, "OCRFARM_WORKERS": "1", "OCRFARM_PROFILES": profiles}
    environment |= {"OCRFARM_NODE": "second", "OCRFARM_REDIS_USER": "", "OCRFARM_REDIS_PASSWORD": ""}
    with (farm.state / "second.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ocrfarm", "worker"],
            env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def test_it_waits_for_a_node_that_can(farm: RunningFarm) -> None:
    picture = png("17 boxes", width=300, height=60, size=30)
    waits = farm.submit(picture, profile="fast", cache="off")
    read = farm.submit(picture, profile="crnn-captcha", cache="off")
    assert farm.wait([read])[read]["state"] == "succeeded"
    time.sleep(6)  # a heartbeat and a sweep: nothing hands it to a node that cannot
    view = farm.job(waits)
    assert (view["state"], view["attempt"]) == ("queued", 0)
    assert "fast" in view["waiting_for"]
    said = farm.http.get("/v1/farm").json()
    (load,) = [load for load in said["profiles"] if load["name"] == "fast"]
    assert (load["queued_units"], load["slots"]) == (1, 0)
    assert load["waiting_for"]
    (node,) = said["nodes"]
    assert node["info"]["reads"] == ["crnn-captcha"]
    assert node["info"]["models"].keys() == {"crnn-captcha"}
    assert node["info"]["cores"] == len(os.sched_getaffinity(0))
    assert node["info"]["lines_per_s"] > 0
    status = subprocess.run(
        [sys.executable, "-m", "ocrfarm", "status", "--url", str(farm.http.base_url)],
        capture_output=True, text=True, timeout=60, check=True, env=farm.environment | {"COLUMNS": "200"},
    ).stdout  # fmt: skip
    assert "crnn-captcha" in status
    assert "1 page waits" in status
    other = second_node(farm, "fast")
    try:
        assert farm.wait([waits])[waits]["state"] == "succeeded"
        assert farm.document(waits)["models"]
        nodes = {node["name"]: node["info"] for node in farm.http.get("/v1/farm").json()["nodes"]}
        assert nodes["second"]["reads"] == ["fast"]
    finally:
        other.send_signal(signal.SIGTERM)
        other.wait(60)
