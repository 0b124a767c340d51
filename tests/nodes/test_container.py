"""A container joins a farm on this machine: installed as a Pi is, it shares nothing with the gateway but the network.

eval "$(infra/docker/local-engine.sh env)"; pytest tests/nodes/test_container.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.documents import png
from tests.integration.test_artefacts import ready
from tests.integration.test_reading import unique
from tests.joinable_farm import Joinable
from tests.nodes.container import SAMPLES, USUAL_IMAGE, Container, docker, engine, image, network, right
from tests.running_farm import RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def wires() -> Iterator[tuple[str, str]]:
    engine()
    with network() as made:
        yield made


@pytest.fixture(scope="module")
def joinable(tmp_path_factory: pytest.TempPathFactory, wires: tuple[str, str]) -> Iterator[Joinable]:
    """It listens in the containers' network, and so does its Redis; its own worker reads nothing."""
    _, here = wires
    farm = RunningFarm(tmp_path_factory.mktemp("joinable") / "state", workers=1, host=here, redis_host=here)
    farm.http.base_url = f"http://{here}:{farm.port}"
    made = Joinable(farm)
    with farm:
        made.drain_own()
        yield made


@pytest.fixture(scope="module")
def node(joinable: Joinable, wires: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    made = image("ocrfarm-test-node", tmp_path_factory.mktemp("image"), os.environ.get("PYTHON_IMAGE", USUAL_IMAGE))
    container = Container(made, "box-1", wires[0], str(joinable.farm.http.base_url), joinable.token)
    try:
        wait_serving(joinable, container, 900)  # it makes its 8-bit models first
        yield container
    finally:
        container.remove()


def wait_serving(joinable: Joinable, container: Container, timeout: float = 120) -> None:
    limit = time.monotonic() + timeout
    while container.name not in joinable.names():
        assert container.inspect()["State"]["Running"], container.logs()[-5000:]
        assert time.monotonic() < limit, container.logs()[-5000:]
        time.sleep(0.5)


def test_it_shares_nothing_and_is_nobody(node: Container) -> None:
    told = node.inspect()
    assert told["Mounts"] == []
    assert list(told["NetworkSettings"]["Networks"]) == [node.network]
    assert docker("exec", node.id, "id", "-un") == "ocrfarm"


def test_it_reads_the_samples_right(joinable: Joinable, node: Container) -> None:
    farm = joinable.farm
    jobs = {name: farm.submit(SAMPLES / name) for name in ("letter.png", "report.pdf", "notice-zh.png")}
    assert {view["state"] for view in farm.wait(jobs.values(), timeout=300).values()} == {"succeeded"}
    for name, job in jobs.items():
        assert right(name, farm.text(job)), name
    assert joinable.fetched() == len(jobs)
    assert ready(farm, f"/v1/jobs/{jobs['letter.png']}/result?format=pdf").content[:5] == b"%PDF-"


def test_cut_off_the_network_it_comes_back_by_itself(joinable: Joinable, node: Container) -> None:
    farm = joinable.farm
    docker("network", "disconnect", node.network, node.id)
    job = farm.submit(png(unique("Who is there for me")))
    limit = time.monotonic() + 60
    while node.name in joinable.names():
        assert time.monotonic() < limit, "it is cut off, and the farm takes it for alive"
        time.sleep(0.5)
    assert farm.job(job)["state"] in ("queued", "running")
    docker("network", "connect", node.network, node.id)
    assert farm.wait([job], timeout=240)[job]["state"] == "succeeded"
    wait_serving(joinable, node)


def test_stopped_it_says_farewell_and_started_again_it_is_the_same_node(joinable: Joinable, node: Container) -> None:
    docker("stop", "--time", "60", node.id)
    assert node.inspect()["State"]["ExitCode"] == 0
    assert node.name not in joinable.names()
    docker("start", node.id)
    wait_serving(joinable, node)
    job = joinable.farm.submit(png(unique("Here you are again")))
    assert joinable.farm.wait([job])[job]["state"] == "succeeded"
