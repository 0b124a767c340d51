"""Connections to Redis that are cut, and such as only seem to be there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psutil
import pytest
import redis

from tests.conftest import RedisServer
from tests.faults.pages import check_numbered, slow, submit_numbered, until, wait_running
from tests.faults.tcp_proxy import proxy_to
from tests.running_farm import ENDED, RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]


def cut(farm: RunningFarm, connection: redis.Redis) -> int:
    """CLIENT KILL for every connection of the pool: its parent's and its processes'. How many there were."""
    ports: set[int] = set()
    with contextlib.suppress(psutil.Error, KeyError):  # one that has just gone has no connection
        for process in [psutil.Process(farm.pid("worker")), *farm.worker_children()]:
            ports |= {c.laddr.port for c in process.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED}
    killed = 0
    for client in connection.client_list():
        if int(client["addr"].rpartition(":")[2]) in ports:
            killed += int(connection.execute_command("CLIENT", "KILL", "ID", client["id"]))
    return killed


@pytest.mark.row(n=4)
def test_the_workers_connections_cut_in_mid_page(farm: RunningFarm) -> None:
    """In mid-page, again and again until all is read: a page may run twice, one result of it is recorded."""
    read = farm.pages_read()
    jobs = submit_numbered(farm, 6, slow)
    wait_running(farm, jobs, 2)
    cuts, limit = 0, time.monotonic() + 120
    with farm.redis() as connection:
        while any(farm.job(job)["state"] not in ENDED for job in jobs):
            assert time.monotonic() < limit, f"not read through {cuts} cuts:\n{farm.logs()}"
            cuts += cut(farm, connection)
            time.sleep(0.3)
    assert cuts >= 12, f"only {cuts} connections were cut"
    check_numbered(farm, jobs, farm.wait(jobs))
    assert farm.pages_read() - read == len(jobs), "a result was recorded twice"


@pytest.mark.row(n=7)
def test_half_open_connections(start_farm: Callable[..., RunningFarm], make_redis: Callable[..., RedisServer]) -> None:
    """All connections of the farm go silent and none is closed, once while it is idle and once in mid-page: it reads again within 60 s."""
    server = make_redis()
    with proxy_to(server.port) as proxy:
        farm = start_farm(redis_url=f"redis://127.0.0.1:{proxy.port}/0")
        jobs = submit_numbered(farm, 2)
        check_numbered(farm, jobs, farm.wait(jobs))

        assert proxy.freeze() >= 4, "gateway, dispatcher, and the pool and its processes: each has a connection"
        frozen = time.monotonic()
        jobs = submit_numbered(farm, 2)
        check_numbered(farm, jobs, farm.wait(jobs, timeout=120))
        took = time.monotonic() - frozen
        assert took < 60, f"consuming again only after {took:.0f} s"

        until(lambda: farm.http.get("/v1/farm").json()["slots"] == 2, 60, "not both processes are back")
        jobs = submit_numbered(farm, 4, slow)
        wait_running(farm, jobs, 2)
        assert proxy.freeze() >= 4
        frozen = time.monotonic()
        check_numbered(farm, jobs, farm.wait(jobs, timeout=120))
        took = time.monotonic() - frozen
        assert took < 60, f"consuming again only after {took:.0f} s"
