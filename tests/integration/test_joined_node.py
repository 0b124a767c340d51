"""A node that joined: a worker in a state folder of its own, which shares nothing with the farm but TCP on loopback.

The farm's own worker process is drained, so that whatever is read here was fetched over HTTP.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cutting_proxy import CuttingProxy
from tests.documents import many_pages, png
from tests.integration.test_artefacts import ready
from tests.integration.test_reading import unique
from tests.joinable_farm import Joinable
from tests.joined_node import JoinedNode
from tests.running_farm import RunningFarm

SAMPLES = Path(__file__).parents[2] / "samples"
pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def joinable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joinable]:
    farm = RunningFarm(tmp_path_factory.mktemp("joinable") / "state", workers=1, redis_host="127.0.0.1")
    made = Joinable(farm)
    with farm:
        made.drain_own()
        yield made


@pytest.fixture(scope="module")
def proxy(joinable: Joinable) -> Iterator[CuttingProxy]:
    """Between the node and the gateway."""
    made = CuttingProxy(joinable.farm.port)
    yield made
    made.close()


@pytest.fixture(scope="module")
def node(joinable: Joinable, proxy: CuttingProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JoinedNode]:
    """Two worker processes; started once, and again by whoever stopped it."""
    made = JoinedNode(
        joinable.farm, tmp_path_factory.mktemp("pi") / "state", "pi-1", joinable.token, proxy.url, workers=2
    )
    made.start()
    made.wait_state("serving", joinable.headers)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def as_it_was(joinable: Joinable, node: JoinedNode, proxy: CuttingProxy) -> Iterator[None]:
    """What one test leaves shut or drained, where it fails, is not the next one's trouble."""
    yield
    proxy.shut = False
    for name, way in ((joinable.own, "drain"), (node.name, "undrain")):
        joinable.farm.http.post(f"/v1/nodes/{name}/{way}").raise_for_status()


def test_it_reads_the_samples_right_and_fetches_each_once(joinable: Joinable, node: JoinedNode) -> None:
    farm, before = joinable.farm, joinable.fetched()
    names = ["letter.png", "report.pdf", "minutes.tiff"]  # one page, and two documents of several
    jobs = {name: farm.submit(SAMPLES / name) for name in names}
    views = farm.wait(jobs.values())
    assert {view["state"] for view in views.values()} == {"succeeded"}
    for name, job in jobs.items():
        assert farm.text(job) == (SAMPLES / "golden" / f"{name}.txt").read_text("utf8").removesuffix("\n")
    assert joinable.fetched() - before == len(names)
    assert len(node.cached()) == len(names)
    assert node.logs().count('"ERROR"') == 0


def test_what_it_makes_comes_back(joinable: Joinable, node: JoinedNode) -> None:
    farm = joinable.farm
    job = farm.submit(png(unique("Make me a picture")))
    farm.wait([job])
    assert ready(farm, f"/v1/jobs/{job}/image").content[:2] == b"\xff\xd8"
    assert ready(farm, f"/v1/jobs/{job}/result?format=pdf").content[:5] == b"%PDF-"


def test_a_gateway_that_is_away_in_mid_fetch_costs_the_page_no_attempt(
    joinable: Joinable, node: JoinedNode, proxy: CuttingProxy
) -> None:
    """Longer than the node is patient, so that it gives the page back, and more often than a page may fail."""
    proxy.shut = True
    proxy.cut()
    job = joinable.farm.submit(png(unique("Who fetches me")))
    node.wait_log("given back for")
    proxy.shut = False
    (view,) = joinable.farm.wait([job]).values()
    assert (view["state"], view["attempt"]) == ("succeeded", 1)


def test_a_job_that_is_deleted_before_it_is_fetched_ends_cleanly(
    joinable: Joinable, node: JoinedNode, proxy: CuttingProxy
) -> None:
    farm = joinable.farm
    proxy.shut = True
    proxy.cut()
    job = farm.submit(png(unique("Nobody wants me")))
    while farm.job(job)["state"] == "queued":
        time.sleep(0.05)
    assert farm.http.delete(f"/v1/jobs/{job}").status_code == 204
    proxy.shut = False
    node.wait_log("let go:")
    after = farm.submit(png(unique("And I come after")))
    assert farm.wait([after])[after]["state"] == "succeeded"


def test_drained_in_the_middle_of_a_batch_nothing_is_lost(joinable: Joinable, node: JoinedNode) -> None:
    farm = joinable.farm
    jobs = [farm.submit(png(unique(f"Page number {n}"))) for n in range(24)]
    farm.wait(jobs[:2])
    joinable.drain(node.name)
    node.wait_state("drained", joinable.headers, 60)
    read = node.view(joinable.headers)["info"]["pages_read"]
    left = [job for job in jobs if farm.job(job)["state"] != "succeeded"]
    assert left, "everything was read before it was drained"
    joinable.drain(joinable.own, on=False)
    views = farm.wait(jobs)
    assert {(view["state"], view["attempt"]) for view in views.values()} == {("succeeded", 1)}
    time.sleep(6)  # a heartbeat
    assert node.view(joinable.headers)["info"]["pages_read"] == read
    assert f"{node.name}  drained" in re.sub(" +", "  ", joinable.ocrfarm("node", "list", "--url", node.url))
    joinable.drain_own()
    joinable.drain(node.name, on=False)
    job = farm.submit(png(unique("And now again")))
    assert farm.wait([job])[job]["state"] == "succeeded"
    node.wait_state("serving", joinable.headers)


def test_redis_that_is_killed_comes_back_and_so_does_the_node(joinable: Joinable, node: JoinedNode) -> None:
    farm = joinable.farm
    jobs = [farm.submit(png(unique(f"Over a crash, {n}"))) for n in range(4)]
    old = farm.kill("redis")
    farm.wait_restarted("redis", old)
    jobs += [farm.submit(png(unique(f"After a crash, {n}"))) for n in range(2)]
    assert {view["state"] for view in farm.wait(jobs, timeout=240).values()} == {"succeeded"}


def test_a_node_that_is_killed_loses_nothing(joinable: Joinable, node: JoinedNode) -> None:
    farm = joinable.farm
    document = farm.submit(many_pages([unique(f"This is leaf {n}") for n in range(1, 9)], "PDF"), name="x.pdf")
    while not farm.job(document)["progress"]["pages_done"]:
        time.sleep(0.05)
    node.stop(signal.SIGKILL)
    node.start()
    (view,) = farm.wait([document], timeout=240).values()
    assert (view["state"], view["progress"]["pages_done"]) == ("succeeded", 8)


def test_it_starts_with_the_gateway_away(joinable: Joinable, node: JoinedNode, proxy: CuttingProxy) -> None:
    """With what it learned the last time, and without its token on the command line; it reads what it has in its cache."""
    farm = joinable.farm
    again = png(unique("I am in the cache"))
    first = farm.submit(again)
    farm.wait([first])
    assert node.stop() == 0
    proxy.shut = True
    proxy.cut()
    for name in ("OCRFARM_JOIN_URL", "OCRFARM_NODE_TOKEN"):
        del node.environment[name]
    node.start()
    node.wait_log("starting with what it said before")
    node.wait_state("serving", joinable.headers)
    job = farm.submit(again, cache="refresh")
    assert farm.wait([job])[job]["state"] == "succeeded"
    proxy.shut = False


def test_a_revoked_token_stops_it_and_another_starts_it(joinable: Joinable, node: JoinedNode) -> None:
    farm = joinable.farm
    node.wait_state("serving", joinable.headers)
    joinable.ocrfarm("keys", "revoke", joinable.token)
    node.wait_log("does not take this node any more")
    node.wait_state("away", joinable.headers)
    job = farm.submit(png(unique("Nobody is here for me")))
    time.sleep(3)
    assert farm.job(job)["state"] == "queued"
    assert node.stop() == 0
    assert node.start().process.wait(60) == 5  # who types the command is told at once
    assert "revoked" in node.logs()[-2000:]
    node.environment |= {"OCRFARM_JOIN_URL": node.url, "OCRFARM_NODE_TOKEN": joinable.ocrfarm("node", "token", "-q")}
    node.start()
    assert farm.wait([job])[job]["state"] == "succeeded"
    assert node.memo()["id"] == "pi-1"
