"""The farm in containers on a real Docker engine, from its first start to its end.

One farm goes through all of it, step after step; whatever is done to it, each document that was accepted ends, once. Needs an engine and
two images (PYTHON_IMAGE, REDIS_IMAGE), nothing else.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.documents import png
from tests.e2e.compose_farm import STANDING, TAG, ComposeFarm, Container, need_engine
from tests.faults.headline.history import History
from tests.faults.headline.prober import Prober
from tests.running_farm import ROOT

pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(1800)]
SAMPLES = ROOT / "samples"
LINES = 20
FIRST, SECOND = "1111111111111111", "2222222222222222"


class Story:
    """The farm, and what it has accepted so far: the paper's number by job id."""

    def __init__(self, farm: ComposeFarm) -> None:
        self.farm = farm
        self.accepted: dict[str, int] = {}

    def send(self, count: int) -> list[str]:
        """Papers that no cache knows; each says its number, and keeps a core busy for about a second.

        Whatever is done to the farm takes a moment itself, and has to find it reading: so the lines are many and the model the large one.
        """
        jobs = []
        for _ in range(count):
            number = 10_000 + len(self.accepted)
            paper = png(f"Paper number {number}\n" + "and some lines that take time\n" * LINES, height=100 + 75 * LINES)
            job = self.farm.submit(paper, profile="accurate")
            self.accepted[job] = number
            jobs.append(job)
        return jobs

    def all_are_read(self, jobs: list[str]) -> dict[str, dict[str, object]]:
        """Their views; each succeeded, with its own text."""
        views = self.farm.wait(jobs, timeout=600)
        assert Counter(view["state"] for view in views.values()) == {"succeeded": len(jobs)}
        for job in jobs:
            assert str(self.accepted[job]) in self.farm.text(job)
        return views


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    need_engine()
    with ComposeFarm() as farm:
        farm.build(FIRST)
        yield Story(farm)


@pytest.fixture
def farm(story: Story) -> ComposeFarm:
    return story.farm


def test_up_asks_for_a_key_and_then_reads(story: Story, farm: ComposeFarm) -> None:
    farm.compose("up", "-d", "--no-build")
    limit = time.monotonic() + 60
    while (away := farm.http.get("/readyz")).status_code != 503 or "no API keys" not in farm.logs("api"):
        assert time.monotonic() < limit, farm.logs("api")
        time.sleep(0.5)
    assert away.headers["Retry-After"] == "2"
    assert away.headers["Content-Type"] == "application/problem+json"
    assert away.json()["code"] == "farm_unavailable"
    farm.make_key()
    farm.wait_ready()
    farm.wait_slots(1)
    assert farm.http.get("/readyz").json()["commit"] == FIRST
    assert farm.http.get("/v1/jobs", headers={"X-API-Key": ""}).status_code == 401
    assert farm.http.get("/").headers["Content-Type"].startswith("text/html")
    job = farm.submit(SAMPLES / "letter.png")
    assert farm.wait([job])[job]["state"] == "succeeded"
    assert farm.text(job).strip() == (SAMPLES / "golden" / "letter.png.txt").read_text("utf8").strip()
    story.all_are_read(story.send(2))


def test_each_part_becomes_healthy(farm: ComposeFarm) -> None:
    limit = time.monotonic() + 90
    while bad := {c.service: c.health for c in farm.containers() if c.health != "healthy"}:
        assert time.monotonic() < limit, (bad, [c.about["State"]["Health"]["Log"][-1:] for c in farm.containers(*bad)])
        time.sleep(1)
    assert {c.service for c in farm.containers()} == set(STANDING)


def test_no_part_may_more_than_it_must(farm: ComposeFarm) -> None:
    for one in farm.containers():
        host, name = one.about["HostConfig"], one.service
        assert one.about["Config"]["User"] == "10001:10001", name
        assert host["ReadonlyRootfs"] is True, name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        # And in the kernel's own words, of the program itself and not of what the engine was asked for.
        status = dict(line.split(":", 1) for line in farm.inside(one, "cat", "/proc/1/status").splitlines())
        assert status["Uid"].split() == ["10001"] * 4, name
        assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}, name
        assert status["NoNewPrivs"].strip() == "1", name
        with pytest.raises(RuntimeError, match="Read-only file system"):
            farm.inside(one, "touch", "/opt/x")
        published = [p for ports in one.about["NetworkSettings"]["Ports"].values() for p in ports or []]
        assert {p["HostIp"] for p in published} == ({"127.0.0.1"} if name in ("door", "flower") else set()), name
    networks = {c.service: set(c.about["NetworkSettings"]["Networks"]) for c in farm.containers()}
    assert networks["worker"] == networks["redis"] == {farm.network("back")}
    assert networks["door"] == {farm.network("front")}
    assert json.loads(farm.docker("network", "inspect", farm.network("back")))[0]["Internal"] is True


def test_each_part_has_its_own_secret_and_no_other(farm: ComposeFarm) -> None:
    for one in farm.containers("api", "dispatcher", "worker", "flower", "redis"):
        mounts = {
            m["Destination"] for m in one.about["Mounts"] if m["Type"] == "volume" and "secrets" in m["Destination"]
        }
        assert mounts == {f"/volumes/{'gateway' if one.service == 'api' else one.service}-secrets"}
        assert not any("PASSWORD=" in variable for variable in one.about["Config"]["Env"])
    users = {line.split()[1] for line in farm.redis_cli("ACL LIST").splitlines()}
    assert users == {"default", "admin", "gateway", "dispatcher", "worker", "flower"}
    clients = farm.redis_cli("CLIENT LIST")
    assert {"gateway", "dispatcher", "worker", "flower"} <= {
        word.removeprefix("user=") for word in clients.split() if word.startswith("user=")
    }
    log = farm.redis_cli("ACL LOG").splitlines()
    assert {log[n + 1] for n, word in enumerate(log) if word == "object"} <= {"client", "client|setinfo"}


def test_documents_are_opened_behind_all_locks(farm: ComposeFarm) -> None:
    """No capability is needed for them: user 10001 gives up what it has."""
    said = [line for line in farm.logs("worker").splitlines() if "held in by" in line]
    assert said, farm.logs("worker")
    for lock in ("no_new_privs", "limits", "memory"):
        assert lock in said[-1]
    seccomp_lets_it = farm.inside(
        farm.containers("worker")[0],
        "python",
        "-c",
        "import ctypes; print(ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1) > 0)",
    )
    assert ("landlock" in said[-1]) is (seccomp_lets_it == "True")


def test_flower_shows_to_whoever_has_the_login(farm: ComposeFarm) -> None:
    flower = farm.containers("flower")[0]
    user, _, password = farm.inside(flower, "cat", "/volumes/flower-secrets/login").partition(":")
    with httpx.Client(base_url=f"http://127.0.0.1:{farm.flower_port}", timeout=60, trust_env=False) as http:
        assert http.get("/workers").status_code == 401
        assert http.get("/api/workers").status_code == 401
        http.auth = (user, password)
        limit = time.monotonic() + 60
        while "ocrfarm@" not in (told := http.get("/workers?json=1").text):
            assert time.monotonic() < limit, told
            time.sleep(1)
        assert http.post("/api/worker/shutdown/any").status_code in (401, 403, 404, 405)


def test_prometheus_is_given_a_key_that_may_read_the_figures(farm: ComposeFarm) -> None:
    """The profile's one-shot service alone; Prometheus' own image is not asked for."""
    service = ("--profile", "monitoring")
    farm.compose(*service, "run", "--rm", "metrics-key")
    show = ("run", "--rm", "--entrypoint", "cat", "metrics-key", "/volumes/metrics-secrets/key")
    key = farm.compose(*service, *show).strip()
    farm.compose(*service, "run", "--rm", "metrics-key")
    assert farm.compose(*service, *show).strip() == key, "a second start made another"
    told = farm.http.get("/metrics", headers={"X-API-Key": key})
    assert told.status_code == 200
    assert "ocrfarm_ledger_up 1" in told.text
    assert farm.http.post("/v1/jobs", headers={"X-API-Key": key}, content=b"x").status_code == 403


def test_scaled_to_four_all_of_them_read(story: Story, farm: ComposeFarm) -> None:
    farm.up("--scale", "worker=4")
    farm.wait_slots(4)
    workers = farm.containers("worker")
    story.all_are_read(story.send(24))
    limit = time.monotonic() + 30
    while not all((nodes := pages_read(farm)).values()):  # each says so with its next heartbeat
        assert time.monotonic() < limit, nodes
        time.sleep(0.5)
    assert set(nodes) == {one.hostname for one in workers}


def test_a_worker_that_is_killed_under_a_page(story: Story, farm: ComposeFarm) -> None:
    """Its page is read by another; the engine brings back a process that dies, `up` a container that was killed."""
    killed = farm.containers("worker")[0]
    jobs = story.send(30)
    until_running(farm)
    farm.docker("kill", killed.id)
    farm.wait_slots(3)
    dying = farm.containers("worker")[0]
    assert dying.id != killed.id
    kill_inside(farm, dying)
    views = story.all_are_read(jobs)
    assert max(int(str(view["attempt"])) for view in views.values()) > 1, "nobody was reading when he was killed"
    farm.wait_slots(3)
    again = next(one for one in farm.containers("worker") if one.id == dying.id)
    assert again.restarts == dying.restarts + 1
    farm.up("--scale", "worker=4")
    farm.wait_slots(4)


def test_a_worker_cut_off_the_network_and_joined_again(story: Story, farm: ComposeFarm) -> None:
    cut = farm.containers("worker")[0]
    jobs = story.send(30)
    until_running(farm)
    farm.docker("network", "disconnect", farm.network("back"), cut.id)
    farm.wait_slots(3)
    views = story.all_are_read(jobs)
    assert max(int(str(view["attempt"])) for view in views.values()) > 1, "nobody was reading when he was cut off"
    farm.docker("network", "connect", farm.network("back"), cut.id)
    farm.wait_slots(4)
    same = next(one for one in farm.containers("worker") if one.id == cut.id)
    assert (same.started, same.restarts) == (cut.started, cut.restarts), "it came back by itself, not by a restart"
    assert "heartbeat not heard" in farm.told(cut)
    story.all_are_read(story.send(8))


def test_redis_restarted_with_jobs_queued(story: Story, farm: ComposeFarm) -> None:
    jobs = story.send(24)
    until_running(farm)
    before = run_id(farm)
    with Prober(farm.port, "/livez") as alive:
        farm.compose("restart", "redis")
        jobs += story.send(4)
        story.all_are_read(jobs)
    assert run_id(farm) != before
    assert alive.statuses() == {200: len(alive.answers)}, alive.errors()[:3]
    farm.wait_slots(4)


def test_a_gateway_killed_behind_the_door(story: Story, farm: ComposeFarm) -> None:
    one, other = farm.containers("api")
    with Prober(farm.port, "/livez") as alive:
        time.sleep(0.5)
        farm.docker("kill", one.id)
        jobs = story.send(8)
        time.sleep(2)
        assert [c.id for c in farm.containers("api")] == [other.id]
        farm.up("--scale", "worker=4")
        while len(farm.containers("api")) < 2:
            time.sleep(0.2)
    # What it was answering in that moment is lost with it; all else is the other's.
    assert set(alive.statuses()) <= {200, 502}, alive.statuses()
    assert alive.statuses().get(502, 0) <= 2
    assert alive.longest_gap_s() < 3
    story.all_are_read(jobs)


def test_every_image_replaced_one_by_one(story: Story, farm: ComposeFarm) -> None:
    farm.build(SECOND)
    before = {one.id: one for one in farm.containers()}
    jobs = story.send(30)
    with Prober(farm.port, "/livez") as alive:
        farm.replace("worker", "dispatcher", "api", "flower", "redis")
    jobs += story.send(4)
    farm.replace("door")
    story.all_are_read(jobs)
    farm.wait_slots(4)
    after = farm.containers()
    assert Counter(one.service for one in after) == Counter(one.service for one in before.values())
    assert not {one.id for one in after} & set(before)
    old = {one.service: one.image for one in before.values()}
    for one in after:
        if one.service in ("api", "dispatcher", "worker", "flower"):  # the others know no commit
            assert one.image != old[one.service], one.service
    assert farm.http.get("/readyz").json()["commit"] == SECOND
    assert alive.statuses() == {200: len(alive.answers)}, alive.errors()[:3]


def test_down_and_up_again(story: Story, farm: ComposeFarm) -> None:
    jobs = story.send(24)
    until_running(farm)
    farm.compose("down", "-t", "40")
    assert not farm.containers(every=True)
    farm.up()
    farm.wait_ready()
    story.all_are_read(jobs)


def test_a_node_elsewhere_joins_and_reads(story: Story, farm: ComposeFarm) -> None:
    """A worker that shares nothing with the farm but its published ports; the farm's own workers are away."""
    farm.publish_redis()
    farm.up_as_changed("--scale", "worker=0")
    farm.wait_slots(0)
    token = farm.compose("exec", "-T", "api", "ocrfarm", "node", "token", "--quiet").strip()
    node = farm.docker(
        *("run", "-d", "--network", "host", "--read-only", "--tmpfs", "/tmp:mode=1777", "--cap-drop", "ALL"),
        *(
            "--tmpfs",
            "/volumes/state:uid=10001,gid=10001,mode=700",
            "-e",
            "OCRFARM_WORKERS=1",
            "-e",
            "OCRFARM_NODE=elsewhere",
        ),
        *("--security-opt", "no-new-privileges", f"ocrfarm-worker:{TAG}"),
        *("worker", "join", f"http://127.0.0.1:{farm.port}", token),
    )
    try:
        farm.wait_slots(1)
        story.all_are_read(story.send(3))
        assert [one["name"] for one in farm.http.get("/v1/farm").json()["nodes"]] == ["elsewhere"]
    finally:
        farm.docker("rm", "-f", node)
    farm.up("--scale", "worker=1")
    farm.wait_slots(1)


def test_at_last_each_accepted_job_ended_once(story: Story, farm: ComposeFarm, tmp_path: Path) -> None:
    """Counted in Redis' own file, over all of its lives."""
    assert len(story.accepted) >= 20
    farm.compose("stop", "-t", "40")
    left = {one.service: one.about["State"]["ExitCode"] for one in farm.containers(every=True)}
    # 143: it ended by the signal that it was told to end with (uvicorn does); 137: it had to be killed.
    assert set(left.values()) <= {0, 128 + signal.SIGTERM}, left
    assert left["redis"] == 0, left
    history = History.read(farm.copy_ledger(tmp_path / "redis"))
    ended = {job: [state for _, state in history.ends[job]] for job in story.accepted}
    assert {job: states for job, states in ended.items() if states != ["succeeded"]} == {}
    assert {page: times for page, times in history.recorded.items() if times != 1} == {}
    assert set(history.created) >= set(story.accepted)
    assert len(history.created) == len(story.accepted) + 1  # and the letter
    farm.compose("down", "-v")
    kept = farm.docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={farm.project}")
    assert kept == ""


# ---------------------------------------------------------------------------------------------------- details
def pages_read(farm: ComposeFarm) -> dict[str, int]:
    """By node, as it said last."""
    return {one["name"]: one["info"]["pages_read"] for one in farm.http.get("/v1/farm").json()["nodes"]}


def until_running(farm: ComposeFarm) -> None:
    """Until each worker process is reading a page, whichever is then done something to, and others wait."""
    limit = time.monotonic() + 60
    while True:
        view = farm.http.get("/v1/farm").json()
        if view["running_units"] >= view["slots"] and view["queued_units"] >= 8:
            return
        assert time.monotonic() < limit, view
        time.sleep(0.05)


def kill_inside(farm: ComposeFarm, container: Container) -> None:
    """SIGKILL to all processes in it but its init, which ends with them; by hand `docker kill` would forbid the restart."""
    with contextlib.suppress(RuntimeError):  # the shell that said it may have gone with the rest
        farm.inside(container, "sh", "-c", "kill -9 -1")


def run_id(farm: ComposeFarm) -> str:
    return next(line for line in farm.redis_cli("INFO server").splitlines() if line.startswith("run_id:"))
