"""Held requests: answered when the job ends, not at the next poll; and Redis going away under them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
from redis.exceptions import OutOfMemoryError
from tests.conftest import RedisServer
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_api import waiting
from ocrfarm_api.admission import Headroom

PATIENCE_S = 20  # of a test on a busy machine; the poll is out of its way


def later(work: Callable[[], httpx.Response]) -> Future[httpx.Response]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends a wait now is a hint: the next look at the ledger would be a minute away."""
    monkeypatch.setattr(waiting, "NET_S", 60.0)


@pytest.mark.usefixtures("no_poll")
def test_get_with_wait_answers_as_soon_as_the_job_ends(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    held = later(lambda: gateway.http.get(here, params={"wait": 55}))
    time.sleep(0.4)
    assert not held.done()
    gateway.read()
    assert held.result(PATIENCE_S).json()["state"] == "succeeded"


def test_post_with_wait_answers_the_finished_job(gateway: Gateway) -> None:
    held = later(lambda: gateway.submit(wait=20))
    limit = time.monotonic() + 10
    while True:
        try:
            gateway.read()
            break
        except AssertionError:
            assert time.monotonic() < limit
            time.sleep(0.02)
    answer = held.result(PATIENCE_S)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"


def test_a_wait_that_runs_out_answers_as_it_stands(gateway: Gateway) -> None:
    started = time.monotonic()
    answer = gateway.submit(wait=0.3)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert 0.3 <= time.monotonic() - started < PATIENCE_S
    assert gateway.http.get(answer.headers["location"], params={"wait": 0.1}).status_code == 200


@pytest.mark.usefixtures("no_poll")
def test_cancelling_ends_a_wait(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    held = later(lambda: gateway.http.get(here, params={"wait": 55}))
    time.sleep(0.2)
    gateway.http.post(f"{here}/cancel")
    assert held.result(PATIENCE_S).json()["state"] == "cancelled"


def test_a_gateway_that_is_told_to_stop_answers_held_requests(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    held = later(lambda: gateway.http.get(here, params={"wait": 60}))
    time.sleep(0.3)
    gateway.app.state.farm.events.release()
    gateway.server.should_exit = True
    assert held.result(PATIENCE_S).json()["state"] == "queued"


def test_a_wait_needs_no_events(gateway: Gateway) -> None:
    """Hints are hints: a lost one costs two seconds, no more."""
    here = gateway.submit().headers["location"]
    held = later(lambda: gateway.http.get(here, params={"wait": 20}))
    time.sleep(0.2)
    gateway.ledger.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    gateway.read()
    assert held.result(15).json()["state"] == "succeeded"


@pytest.fixture
def own(make_redis: Callable[..., RedisServer], make_gateway: Callable[..., Gateway]) -> tuple[RedisServer, Gateway]:
    server = make_redis()
    return server, make_gateway(redis_url=server.url)


@pytest.mark.usefixtures("no_poll")
def test_redis_gone_is_503_and_comes_back_by_itself(own: tuple[RedisServer, Gateway]) -> None:
    server, gateway = own
    here = gateway.submit().headers["location"]
    time.sleep(1.2)  # the AOF is synced every second
    server.kill()
    asked = [
        lambda: gateway.submit(),
        lambda: gateway.http.get(here),
        lambda: gateway.http.get(here, params={"wait": 30}),
        lambda: gateway.http.get("/v1/jobs"),
        lambda: gateway.http.get("/v1/farm"),
        lambda: gateway.http.get("/readyz"),
        lambda: gateway.http.delete(here),
    ]
    for ask in asked:
        started = time.monotonic()
        answer = ask()
        assert time.monotonic() - started < 15  # at once, and not after the 30 s that one of them would wait
        assert (answer.status_code, answer.json()["code"]) == (503, "farm_unavailable")
        assert answer.headers["retry-after"] == "2"
    assert gateway.http.get("/livez").status_code == 200
    assert "ocrfarm_ledger_up 0.0" in gateway.http.get("/metrics").text
    assert not list(gateway.app.state.farm.blobs.incoming.iterdir())
    server.start()
    assert gateway.http.get(here).json()["state"] == "queued"
    assert gateway.submit().status_code == 202
    # The subscription is made anew too: a wait ends by its hint again, not by the poll.
    limit = time.monotonic() + 30
    while not gateway.app.state.farm.events.connected:
        assert time.monotonic() < limit
        time.sleep(0.05)
    held = later(lambda: gateway.http.get(here, params={"wait": 55}))
    time.sleep(0.3)
    gateway.read()
    assert held.result(PATIENCE_S).json()["state"] == "succeeded"


def test_redis_gone_while_a_submission_is_held(own: tuple[RedisServer, Gateway]) -> None:
    """The document was accepted: that must be told, or the client would send it twice."""
    server, gateway = own
    held = later(lambda: gateway.submit(wait=30))
    while not gateway.ledger.redis.keys("*:job:*"):
        time.sleep(0.02)
    time.sleep(0.2)
    server.kill()
    answer = held.result(PATIENCE_S)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


def test_redis_restarted_three_times_under_load(
    make_redis: Callable[..., RedisServer], make_gateway: Callable[..., Gateway]
) -> None:
    """What was accepted is there; what was refused was refused cleanly."""
    server = make_redis("--appendfsync", "always")  # so that nothing accepted is lost with the kill
    gateway = make_gateway(redis_url=server.url)
    accepted: list[str] = []
    statuses: set[int] = set()
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as http:
            while not stop.is_set():
                answer = http.post("/v1/jobs", content=png())
                statuses.add(answer.status_code)
                if answer.status_code == 202:
                    accepted.append(answer.headers["location"])
                else:
                    time.sleep(0.05)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.7)
        server.kill()
        time.sleep(0.3)
        server.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert statuses == {202, 503}
    assert len(accepted) > 20
    assert [here for here in accepted if gateway.http.get(here).status_code != 200] == []


def fill(gateway: Gateway) -> list[str]:
    """Write to Redis until it takes no more; the keys written."""
    names: list[str] = []
    with contextlib.suppress(OutOfMemoryError):
        while len(names) < 100_000:
            gateway.ledger.redis.set(f"filler{len(names)}", b"x" * 500)
            names.append(f"filler{len(names)}")
    assert len(names) < 100_000
    return names


def test_redis_full_is_503_and_no_half_made_job(
    make_redis: Callable[..., RedisServer], make_gateway: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds where the guard that refuses earlier (test_limits.py) saw nothing coming."""
    monkeypatch.setattr(Headroom, "trouble", lambda *_: None)
    server = make_redis("--maxmemory", "3mb")
    gateway = make_gateway(redis_url=server.url)
    assert gateway.submit().status_code == 202
    fillers = fill(gateway)
    before = set(gateway.ledger.redis.keys(f"{gateway.settings.namespace}:*"))
    answer = gateway.submit()
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "farm_unavailable", "2")
    assert set(gateway.ledger.redis.keys(f"{gateway.settings.namespace}:*")) == before
    gateway.ledger.redis.delete(*fillers)
    assert gateway.submit().status_code == 202
