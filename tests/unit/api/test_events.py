"""Server-sent events: what is told, when it ends, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.conftest import RedisServer
from tests.unit.api.running_gateway import PDF, Gateway, a_page

from ocrfarm_api import streams
from ocrfarm_api.callers import Caller
from ocrfarm_api.streams import EventStream, Told
from ocrfarm_shared.errors import Unreadable
from ocrfarm_shared.keys import NewKey
from ocrfarm_shared.ledger import calls, key_calls


def parse(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """(event, data) as the standard reads a stream; a comment as (":", its text)."""
    event, data = "", ""
    for line in lines:
        if line.startswith(":"):
            yield ":", line[1:].strip()
        elif line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            data = line[6:]
        elif not line and event:
            yield event, json.loads(data)
            event = ""


@contextmanager
def stream(gateway: Gateway, path: str, **headers: str) -> Iterator[Iterator[tuple[str, Any]]]:
    with gateway.http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield parse(answer.iter_lines())


def until_free(gateway: Gateway) -> None:
    farm, limit = gateway.app.state.farm, time.monotonic() + 10
    while farm.streams.by_tenant or farm.events.watched:
        assert time.monotonic() < limit, (farm.streams.by_tenant, farm.events.watched)
        time.sleep(0.02)


def submit(gateway: Gateway, document: bytes | None = None) -> str:
    return str(gateway.submit(document).json()["id"])


def test_a_document_from_its_queue_to_its_end(gateway: Gateway) -> None:
    job = submit(gateway, PDF + b"three pages")
    with stream(gateway, f"/v1/jobs/{job}/events") as told:
        assert next(told)[1]["queue_position"] == 0
        event, view = next(told)
        assert (event, view["state"], view["id"]) == ("state", "queued", job)
        assert view["links"]["events"] == f"/v1/jobs/{job}/events"
        plan = gateway.claim()
        assert gateway.ledger(calls.finish_plan(plan.unit, plan.token, [1, 2, 3], 3))
        for _ in range(3):
            gateway.read()
        rest = list(told)  # and it closes by itself
    assert sorted(data["number"] for event, data in rest if event == "page") == [1, 2, 3]
    assert [data["progress"] for event, data in rest if event == "progress"][-1] == {"pages_done": 3, "pages_total": 3}
    event, view = rest[-1]
    assert (event, view["state"]) == ("state", "succeeded")  # last of all: every page was told before
    until_free(gateway)


def test_news_come_by_hints_and_not_by_the_poll(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "NET_S", 60.0)
    job = submit(gateway)
    with stream(gateway, f"/v1/jobs/{job}/events") as told:
        assert [next(told)[0] for _ in range(2)] == ["progress", "state"]
        time.sleep(0.5)
        started = time.monotonic()
        gateway.read()
        assert list(told)[-1][1]["state"] == "succeeded"
        assert time.monotonic() - started < 5


def test_without_hints_the_poll_is_enough(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.app.state.farm.events, "_hear", lambda _: None)
    job = submit(gateway)
    with stream(gateway, f"/v1/jobs/{job}/events") as told:
        gateway.read()
        events = list(told)
    assert events[-1][1]["state"] == "succeeded"
    assert ("page", {"id": job, "number": 1}) in events


def test_an_ended_job_tells_all_and_closes(gateway: Gateway) -> None:
    job = submit(gateway)
    gateway.fail(Unreadable("Cut short."))
    with stream(gateway, f"/v1/jobs/{job}/events") as told:
        events = list(told)
    assert events[-1][1]["error"]["message"] == "Cut short."
    # A browser that comes back after the last event is told to stop.
    with gateway.http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        assert "\nid: end\nevent: state\n" in answer.read().decode()
    assert gateway.http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "end"}).status_code == 204


def test_several_jobs_in_one_stream(gateway: Gateway) -> None:
    first, second, third = (submit(gateway) for _ in range(3))
    never = "job_" + "0" * 32
    with stream(gateway, f"/v1/events?jobs={first},{second},{third},{never},{first}") as told:
        gateway.read("one")
        gateway.http.post(f"/v1/jobs/{second}/cancel")
        gateway.http.delete(f"/v1/jobs/{third}")
        events = list(told)
    last = {data["id"]: data["state"] for event, data in events if event == "state"}
    gone = {data["id"] for event, data in events if event == "gone"}
    assert last[first] == "succeeded"
    assert last[second] == "cancelled"
    assert gone == {third, never}
    assert [data["id"] for event, data in events if event == "page"] == [first]
    until_free(gateway)


def test_what_is_not_there_is_404(gateway: Gateway) -> None:
    for path in ("/v1/jobs/job_{}/events", "/v1/events?jobs=job_{}", "/v1/events?jobs=nonsense{}"):
        answer = gateway.http.get(path.format("0" * 32))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for jobs in ("", ",", ",".join(f"job_{n:032x}" for n in range(51))):
        answer = gateway.http.get("/v1/events", params={"jobs": jobs})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_option")
    until_free(gateway)


def test_who_leaves_leaves_nothing(gateway: Gateway) -> None:
    jobs = [submit(gateway) for _ in range(3)]
    for _ in range(5):
        for job in jobs:
            with stream(gateway, f"/v1/jobs/{job}/events") as told:
                next(told)
    until_free(gateway)
    before = threading.active_count()
    assert not [name for name in map(str, asyncio_tasks(gateway)) if "_tell" in name or "_until_gone" in name]
    assert threading.active_count() == before


def asyncio_tasks(gateway: Gateway) -> set[asyncio.Task[Any]]:
    """The tasks of the gateway's loop, asked from inside it."""
    listener = gateway.app.state.farm.events._task

    async def ask() -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks()

    return asyncio.run_coroutine_threadsafe(ask(), listener.get_loop()).result(5)


def test_only_so_many_are_open(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_streams=2)
    job = submit(gateway)
    here = f"/v1/jobs/{job}/events"
    with stream(gateway, here) as one, stream(gateway, here) as two:
        next(one), next(two)
        answer = gateway.http.get(here)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "farm_full", "5")
    until_free(gateway)
    with stream(gateway, here) as again:
        next(again)


def keyed(gateway: Gateway, tenant: str) -> tuple[str, dict[str, str]]:
    made = gateway.ledger(key_calls.create_key(NewKey(tenant=tenant)))
    assert made is not None
    return made.id, {"X-API-Key": made.key}


def test_one_key_holds_half_of_them(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_streams=2)
    _, mine = keyed(gateway, "a")
    _, others = keyed(gateway, "b")
    ids = [gateway.http.post("/v1/jobs", content=b"\x89PNG\r\n\x1a\nx", headers=h).json()["id"] for h in (mine, others)]
    with stream(gateway, f"/v1/jobs/{ids[0]}/events", **mine) as told:
        next(told)
        answer = gateway.http.get(f"/v1/jobs/{ids[0]}/events", headers=mine)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "over_quota", "5")
        with stream(gateway, f"/v1/jobs/{ids[1]}/events", **others) as theirs:
            next(theirs)
    until_free(gateway)


def test_a_key_that_is_revoked_ends_its_streams(gateway: Gateway) -> None:
    key_id, headers = keyed(gateway, "a")
    job = gateway.http.post("/v1/jobs", content=b"\x89PNG\r\n\x1a\nx", headers=headers).json()["id"]
    with stream(gateway, f"/v1/jobs/{job}/events", **headers) as told:
        next(told)
        gateway.ledger(key_calls.revoke_key(key_id))
        events = list(told)
    assert events[-1][0] == "problem"
    assert (events[-1][1]["status"], events[-1][1]["code"]) == (401, "unauthorized")
    assert "succeeded" not in str(events)
    until_free(gateway)


def test_a_quiet_stream_is_kept_alive(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(streams, "NET_S", 0.1)
    job = submit(gateway)
    with stream(gateway, f"/v1/jobs/{job}/events") as told:
        assert (":", "still here") in [next(told) for _ in range(4)]


def test_a_gateway_that_leaves_ends_its_streams(gateway: Gateway) -> None:
    job = submit(gateway)
    with stream(gateway, f"/v1/jobs/{job}/events") as told:
        next(told)
        gateway.app.state.farm.events.release()
        assert "problem" not in [event for event, _ in told]
    until_free(gateway)


def test_redis_gone_ends_the_stream_with_the_reason(
    make_redis: Callable[..., RedisServer], make_gateway: Callable[..., Gateway]
) -> None:
    server = make_redis()
    gateway = make_gateway(redis_url=server.url)
    job = submit(gateway)
    with stream(gateway, f"/v1/jobs/{job}/events") as told:
        next(told)
        server.kill()
        events = list(told)
    assert (events[-1][0], events[-1][1]["code"]) == ("problem", "farm_unavailable")
    assert gateway.http.get(f"/v1/jobs/{job}/events").status_code == 503
    until_free(gateway)


def test_fifty_watchers_of_one_run_each_hear_it(gateway: Gateway) -> None:
    job = submit(gateway, b"\x89PNG\r\n\x1a\nthe same")

    def follow(_: int) -> str:
        with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as http:
            return http.get(f"/v1/jobs/{job}/events").text

    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(follow, n) for n in range(50)]
        limit = time.monotonic() + 20
        while gateway.app.state.farm.streams.by_tenant.total() < 50:
            assert time.monotonic() < limit
            time.sleep(0.02)
        gateway.read()
        assert all('"state":"succeeded"' in one.result(30) for one in waiting)
    until_free(gateway)


class _Endless:
    ended = False
    names = ("x",)

    async def look(self, heard: object) -> list[Told]:
        return [Told("state", {"n": 1})]


def test_who_takes_nothing_is_let_go(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SEND_S", 0.1)
    farm = gateway.app.state.farm

    async def serve() -> None:
        async def receive() -> dict[str, Any]:
            return await asyncio.Future()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Future()  # its buffers are full

        answer = EventStream(farm, Caller("t", frozenset()), _Endless())
        await asyncio.wait_for(answer({}, receive, send), 10)

    asyncio.run(serve())
    until_free(gateway)


def test_a_page_keeps_its_number_whatever_comes_first(gateway: Gateway) -> None:
    job = submit(gateway, PDF + b"two pages")
    plan = gateway.claim()
    assert gateway.ledger(calls.finish_plan(plan.unit, plan.token, [1, 2], 2))
    units = [gateway.claim(), gateway.claim()]
    later, sooner = sorted(units, key=lambda unit: unit.number)
    assert gateway.ledger(calls.finish_page(sooner.unit, sooner.token, a_page(sooner.number, "second")))
    with stream(gateway, f"/v1/jobs/{job}/events") as told:
        assert next(told) == ("page", {"id": job, "number": 2})
        assert gateway.ledger(calls.finish_page(later.unit, later.token, a_page(later.number, "first")))
        assert ("page", {"id": job, "number": 1}) in list(told)
