"""The dispatcher beside a real Redis: lost pages come back, uploads go, one leads, nothing but a signal ends it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import RedisServer
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_api import dispatcher
from ocrfarm_api.dispatcher import Dispatcher
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.settings import Settings, read_settings


@pytest.fixture
def worker_like(gateway: Gateway) -> Iterator[Dispatcher]:
    one = Dispatcher(gateway.settings)
    one.blobs.prepare()
    yield one
    one.ledger.close()


def blob_of(document: bytes) -> str:
    return f"default/{hashlib.sha256(document).hexdigest()}"


def test_a_lost_page_is_handed_out_again(gateway: Gateway, worker_like: Dispatcher) -> None:
    here = gateway.submit().headers["location"]
    lost = gateway.claim()
    gateway.ledger.redis.zadd(f"{gateway.settings.namespace}:leases:balanced", {lost.unit: 1})  # its lease is over
    assert worker_like.round()
    again = gateway.claim()
    assert (again.unit, again.attempt) == (lost.unit, 2)
    assert gateway.http.get(here).json()["attempt"] == 2


def test_a_deadline_that_has_passed_fails_the_job(gateway: Gateway, worker_like: Dispatcher) -> None:
    here = gateway.submit(deadline_s="0.05").headers["location"]
    time.sleep(0.1)
    worker_like.round()
    job = gateway.http.get(here).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "deadline_exceeded")


def test_uploads_go_when_no_job_refers_to_them(
    gateway: Gateway, worker_like: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "REAP_GRACE_S", 0.0)
    document, other = png(), png()
    jobs = [gateway.submit(document).headers["location"] for _ in range(2)]
    gateway.submit(other)
    path = gateway.app.state.farm.blobs.path(blob_of(document))
    gateway.http.delete(jobs[0])
    worker_like.round()
    assert path.exists()  # the other job still refers to it
    gateway.http.delete(jobs[1])
    worker_like.round()
    assert path.exists()  # pinned for some minutes after an upload
    gateway.ledger.redis.delete(f"{gateway.settings.namespace}:pins")
    gateway.ledger.redis.zadd(f"{gateway.settings.namespace}:blob_gc", {blob_of(document): 1})
    worker_like.round()
    assert not path.exists()
    assert gateway.app.state.farm.blobs.path(blob_of(other)).exists()
    assert not gateway.ledger.redis.keys(f"{gateway.settings.namespace}:reaping:*")
    assert gateway.submit(document).status_code == 202
    assert path.exists()


def test_many_uploads_go_in_one_round(
    gateway: Gateway, worker_like: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "REAP_LIMIT", 10)
    monkeypatch.setattr(dispatcher, "REAP_GRACE_S", 0.0)
    for _ in range(35):
        gateway.http.delete(gateway.submit().headers["location"])
    gateway.ledger.redis.delete(f"{gateway.settings.namespace}:pins")
    worker_like.round()
    assert not list(gateway.settings.blob_folder.glob("default/??/*"))


def test_a_slow_unlink_leaves_the_rest(gateway: Gateway, worker_like: Dispatcher) -> None:
    """After half a minute gateways may have stored the same upload again; then it is not ours to remove."""
    gateway.submit(document := png())
    path = gateway.app.state.farm.blobs.path(blob_of(document))
    assert worker_like._unlink([blob_of(document)], time.monotonic() - 1) == []
    assert path.exists()


def test_orphans_and_left_over_uploads_go(gateway: Gateway, worker_like: Dispatcher) -> None:
    gateway.submit(wanted := png())
    store = BlobStore(gateway.settings.blob_folder)
    old = time.time() - 4000
    orphan, fresh = blob_of(b"orphan"), blob_of(b"fresh")
    for name in (orphan, fresh):
        store.path(name).parent.mkdir(parents=True, exist_ok=True)
        store.path(name).write_bytes(b"x")
    (store.incoming / "half").write_bytes(b"x")
    for path in (store.path(orphan), store.path(blob_of(wanted)), store.incoming / "half"):
        os.utime(path, (old, old))
    worker_like.round()
    assert not store.path(orphan).exists()
    assert not (store.incoming / "half").exists()
    assert store.path(fresh).exists()
    assert store.path(blob_of(wanted)).exists()


def test_one_leads_and_the_next_takes_over(farm_settings: Settings) -> None:
    settings = farm_settings.model_copy(update={"sweep_s": 0.2})
    first, second = Dispatcher(settings), Dispatcher(settings)
    first.blobs.prepare()
    assert first.round()
    assert not second.round()
    assert first.round()
    first._resign()
    time.sleep(0.02)
    assert second.round()  # the lock was let go
    third = Dispatcher(settings)
    assert not third.round()
    time.sleep(0.7)  # the second has fallen silent for three rounds
    assert third.round()
    assert not second.round()
    for one in (second, third):
        one.ledger.close()


def test_it_outlives_redis(make_redis: Callable[..., RedisServer], make_gateway: Callable[..., Gateway]) -> None:
    server = make_redis()
    gateway = make_gateway(redis_url=server.url, sweep_s=0.1)
    one, stop = Dispatcher(gateway.settings), threading.Event()
    thread = threading.Thread(target=one.work, args=(stop,))
    thread.start()
    try:
        for _ in range(3):
            limit = time.monotonic() + 10
            while not one.leads:
                assert time.monotonic() < limit
                time.sleep(0.02)
            server.kill()
            time.sleep(0.4)
            assert thread.is_alive()
            server.start()
        here = gateway.submit(deadline_s="0.1").headers["location"]
        assert gateway.http.get(here, params={"wait": 10}).json()["state"] == "failed"
    finally:
        stop.set()
        thread.join(5)
    assert not thread.is_alive()


def test_a_round_that_stumbles_is_followed_by_the_next(
    farm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, stop, rounds = Dispatcher(farm_settings.model_copy(update={"sweep_s": 0.05})), threading.Event(), 0

    def stumble() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            stop.set()
        raise ValueError("a bug")

    monkeypatch.setattr(one, "round", stumble)
    one.work(stop)
    assert rounds == 3


def test_the_process_ends_on_sigterm_and_lets_the_lock_go(redis_url: str, namespace: str, tmp_path: Path) -> None:
    settings = read_settings({}, redis_url=redis_url, namespace=namespace, state=tmp_path)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")} | settings.environment()
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ocrfarm", "dispatcher"],
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    probe = Dispatcher(settings)
    key = f"{namespace}:leader"
    try:
        limit = time.monotonic() + 30
        while not probe.ledger.redis.exists(key):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < limit
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert probe.round()
    finally:
        process.kill()
        process.wait()
        probe.ledger.close()
    assert "leads" in log.read_text()
