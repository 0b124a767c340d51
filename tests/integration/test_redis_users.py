"""A whole farm on one Redis user a part: `ocrfarm up` gives each its own, and Redis writes down whatever it had to refuse."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from ocrfarm_shared.queue import make_app
from ocrfarm_shared.settings import read_settings
from tests.running_farm import RunningFarm, free_port

SAMPLES = Path(__file__).parents[2] / "samples"
LOGIN = ("watcher", "of-the-integration-tests")
pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFarm]:
    state = tmp_path_factory.mktemp("users") / "state"
    with RunningFarm(
        state, workers=1, flower=1, flower_port=free_port(), flower_user=LOGIN[0], flower_password=LOGIN[1]
    ) as running:
        yield running


def admin(farm: RunningFarm) -> redis.Redis:
    return redis.Redis.from_url((farm.state / "redis" / "url").read_text("ascii"))


def test_it_reads_and_nothing_was_refused(farm: RunningFarm) -> None:
    page, pages = farm.submit(SAMPLES / "letter.png"), farm.submit(SAMPLES / "minutes.tiff")
    ended = farm.wait([page, pages], timeout=300)
    assert [view["state"] for view in ended.values()] == ["succeeded", "succeeded"]
    assert farm.text(pages) == (SAMPLES / "golden" / "minutes.tiff.txt").read_text("utf8").removesuffix("\n")
    assert farm.http.get("/v1/jobs").status_code == 200
    assert farm.http.get("/v1/dead-letters").json() == []
    retried = farm.http.post(f"/v1/jobs/{page}/retry")
    assert retried.status_code == 202
    farm.wait(
        [retried.json()["id"]]
    )  # a page that is taken with the answer to the one before it has no message that Flower could show
    assert farm.http.delete(f"/v1/jobs/{pages}").status_code == 204
    look_at_flower(farm, farm.submit(SAMPLES / "receipt.jpg", cache="off"))
    time.sleep(12)  # a sweep, a heartbeat, a restoring of unacknowledged messages, each at least once
    with admin(farm) as connection:
        users = {client["user"] for client in connection.client_list()}
        log = [f"{row['username']} {row['reason']} {row['object']}" for row in connection.acl_log(1000)]
        keys = {key.decode() for key in connection.scan_iter(count=1000)}
    assert (
        {"gateway", "dispatcher", "worker", "flower"} <= users <= {"gateway", "dispatcher", "worker", "flower", "admin"}
    )
    assert [row for row in sorted(set(log)) if not row.endswith(("command client", "command client|setinfo"))] == []
    # All that the farm keeps is under its namespace, but for kombu's bindings.
    assert not [key for key in keys if not key.startswith(("of:", "_kombu.binding")) and not key.endswith(".pidbox")]


def look_at_flower(farm: RunningFarm, job: str) -> None:
    """It asks for its login, sees workers and queues, and shows a task by its page and its job."""
    base = f"http://127.0.0.1:{farm.environment['OCRFARM_FLOWER_PORT']}"
    farm.wait([job])
    with httpx.Client(base_url=base, timeout=60, trust_env=False, follow_redirects=True, auth=LOGIN) as http:
        limit = time.monotonic() + 60
        while True:
            try:
                workers = http.get("/workers", params={"json": 1}).json()["data"]
                if workers and workers[0].get("status"):
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < limit, farm.logs()
            time.sleep(0.5)
        name = workers[0]["hostname"]
        assert http.get(f"/worker/{name}").status_code == 200  # asks the worker over remote control
        assert "of:q:balanced" in http.get("/broker").text  # asks Redis how long the queues are
        assert http.get("/tasks").status_code == 200
        shown = tasks_shown(http)
        assert {task["name"] for task in shown} == {"ocrfarm.read_unit"}
        (mine,) = [task for task in shown if job in task["kwargs"]]
        assert re.fullmatch(r"run_[0-9a-f]{32}, page 1", mine["args"])
        assert mine["kwargs"] == f"profile balanced, {job}"
        for path in ("/workers", "/tasks", "/broker"):
            assert httpx.get(base + path, trust_env=False).status_code == 401, path
        stop = http.post(f"/api/worker/shutdown/{name}")
        assert stop.status_code in (403, 404, 405), stop.status_code


def tasks_shown(http: httpx.Client) -> list[dict[str, str]]:
    """What Flower's page of tasks asks it for."""
    asked = {
        "draw": 1, "start": 0, "length": 100, "search[value]": "", "order[0][column]": 0, "order[0][dir]": "asc",
        "columns[0][data]": "name",
    }  # fmt: skip
    return list(http.get("/tasks/datatable", params=asked).json()["data"])


def test_workers_take_no_orders(farm: RunningFarm) -> None:
    """A stolen password of Flower's may ask the workers; it may not stop them, nor have them forget messages or run what is not theirs."""
    before = farm.pid("worker")
    url = (farm.state / "redis" / "url").read_text("ascii")
    app = make_app(read_settings({}, redis_url=url))
    answers = app.control.ping(timeout=10)
    assert [list(answer.values()) for answer in answers] == [[{"ok": "pong"}]]
    for order, arguments in (
        ("shutdown", {}),
        ("hello", {"from_node": "stranger", "revoked": {"run_1:1:1": 1.0}}),  # a question that revokes tasks
        ("objgraph", {}),
    ):
        refused = app.control.broadcast(order, arguments, reply=True, timeout=10)
        assert [said for answer in refused for said in answer.values() if "error" not in said] == [], (order, refused)
        assert refused, order
    (known,) = app.control.inspect(timeout=10).registered().values()
    assert known == ["ocrfarm.read_unit"]
    for password in json.loads((farm.state / "redis" / "passwords").read_text("ascii")).values():
        assert password not in json.dumps(app.control.inspect(timeout=10).conf())
    app.close()
    time.sleep(2)
    assert farm.pid("worker") == before
    assert psutil.pid_exists(before)
