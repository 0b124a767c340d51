"""An arm64 container, emulated, joins an x86-64 farm and reads the samples. It takes long, so it runs where it is asked for:

    eval "$(infra/docker/local-engine.sh env)"; infra/docker/local-engine.sh arm64
    PYTHON_IMAGE_ARM64=ocrfarm-local/python-arm64:bookworm pytest tests/nodes/test_arm64.py -s --arm64
    … --arm64=letter.png,notice-zh.png        on a busy machine, where a page takes minutes

The 8-bit models are brought from this checkout: making them under the emulator would take an hour, and the files are the same for every
processor. Instructions are emulated, so no figure of it says how fast a Pi is.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.joinable_farm import Joinable
from tests.nodes.container import SAMPLES, Container, docker, engine, image, network, right
from tests.nodes.test_container import wait_serving
from tests.running_farm import ROOT, RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(7200)]

# 1.31 crashes qemu-user; a real Pi runs either.
ONNXRUNTIME = "1.24.*"
PATIENT = {
    "soft_time_limit_s": 1000, "hard_time_limit_s": 1200, "visibility_timeout_s": 1300, "decode_cpu_s": 600,
}  # fmt: skip


@pytest.fixture
def wires(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    if not request.config.getoption("--arm64"):
        pytest.skip("asked for with --arm64")
    engine()
    with network() as made:
        yield made


@pytest.fixture
def joinable(wires: tuple[str, str], tmp_path: Path) -> Iterator[Joinable]:
    _, here = wires
    farm = RunningFarm(tmp_path / "state", workers=1, host=here, redis_host=here, **PATIENT)
    farm.http.base_url = f"http://{here}:{farm.port}"
    made = Joinable(farm)
    with farm:
        made.drain_own()
        yield made


def wanted(request: pytest.FixtureRequest) -> list[str]:
    """The samples that are asked for."""
    every = sorted(path.name.removesuffix(".txt") for path in (SAMPLES / "golden").glob("*.txt"))
    asked = str(request.config.getoption("--arm64"))
    return every if asked == "all" else [name for name in every if name in asked.split(",")]


def test_an_emulated_pi_reads_the_samples_right(
    joinable: Joinable, wires: tuple[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    farm, begun = joinable.farm, time.monotonic()
    base = os.environ.get("PYTHON_IMAGE_ARM64", "arm64v8/python:3.11-slim-bookworm")
    made = image("ocrfarm-test-node-arm64", tmp_path, base, "aarch64", onnxruntime=ONNXRUNTIME)
    built = time.monotonic()
    models = ("--volume", f"{ROOT / '.ocrfarm' / 'models'}:/models:ro")
    node = Container(
        made, "pi-emulated", wires[0], str(farm.http.base_url), joinable.token, *models,
        model_folder="/models", preload="balanced", decode_cpu_s=600,
    )  # fmt: skip
    try:
        assert docker("exec", node.id, "uname", "-m") == "aarch64"
        wait_serving(joinable, node, 1800)
        ready = time.monotonic()
        took = {}
        for name in wanted(request):
            job = farm.submit(SAMPLES / name)
            (view,) = farm.wait([job], timeout=3600).values()
            assert view["state"] == "succeeded", view
            took[name] = round(view["ended_at"] - view["started_at"], 1)
            assert right(name, farm.text(job)), name
            document = farm.document(job)
            print(f"{name}: {took[name]} s, {document['page_count']} pages, {json.dumps(document['timings_ms'])}")
        assert took
        assert joinable.fetched() == len(took)
        (told,) = [n for n in farm.http.get("/v1/nodes").json()["nodes"] if n["name"] == "pi-emulated"]
        assert told["info"]["machine"] == "aarch64"
        print(
            f"installed in {built - begun:.0f} s, serving {ready - built:.0f} s after; {sum(took.values()):.0f} s of reading; {told}"
        )
    finally:
        print(node.logs()[-1500:])
        node.remove()
