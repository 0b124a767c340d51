"""`ocrfarm api` as a process: what it refuses, a socket handed to it, a clean end with an upload under way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.unit.api.running_gateway import png

from ocrfarm_shared.keys import NewKey
from ocrfarm_shared.ledger import Ledger, key_calls
from ocrfarm_shared.settings import Settings

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, fds: tuple[int, ...] = (), **settings: str) -> subprocess.Popen[bytes]:
        chosen = {"REDIS_URL": redis_url, "NAMESPACE": namespace, "STATE": str(tmp_path)} | settings
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OCRFARM_")}
        environment |= {f"OCRFARM_{name}": value for name, value in chosen.items() if value}
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "ocrfarm", "api", *arguments],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=fds,
                start_new_session=True,
            )
        )
        return running[-1]

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refusal(process: subprocess.Popen[bytes]) -> str:
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2, told.decode()
    assert b"Traceback" not in told
    return told.decode()


def wait_alive(url: str, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 120
    while True:
        try:
            assert httpx.get(f"{url}/livez", trust_env=False).status_code == 200
            return
        except httpx.TransportError:
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.05)


def test_refuses_to_listen_beyond_this_machine(start: Start) -> None:
    for told in (refusal(start("--host", "0.0.0.0", "--port", "0")), refusal(start(HOST="0.0.0.0", PORT="0"))):
        assert "ocrfarm keys create --tenant NAME" in told
        assert "OCRFARM_OPEN_TO_ALL=yes-anyone-may-read-and-send" in told
    assert "OCRFARM_OPEN_TO_ALL" in refusal(start(HOST="0.0.0.0", PORT="0", OPEN_TO_ALL="yes"))  # not in those words


def test_it_may_wait_for_the_first_key(start: Start, farm_settings: Settings) -> None:
    """Of a container, say, in which the key is then made. Until then nobody can connect."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start("--host", "0.0.0.0", "--port", str(port), "--wait-for-key")
    assert process.stderr is not None
    told = process.stderr.readline().decode()
    assert "ocrfarm keys create --tenant NAME" in told
    assert "waits for it" in told
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False)
    assert process.poll() is None
    ledger = Ledger.open(farm_settings)
    try:
        ledger(key_calls.create_key(NewKey(tenant="first")))
    finally:
        ledger.close()
    wait_alive(f"http://127.0.0.1:{port}", process)
    assert httpx.get(f"http://127.0.0.1:{port}/v1/jobs", trust_env=False).status_code == 401


def test_no_redis_named_is_a_sentence(start: Start) -> None:
    assert "OCRFARM_REDIS_URL" in refusal(start(REDIS_URL=""))


def test_a_taken_port_is_a_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is taken" in refusal(start("--port", str(port)))


def test_a_socket_handed_over_and_a_clean_end(start: Start) -> None:
    """Told to stop, it lets an upload under way end, answers held requests, and leaves with 0."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        process = start("--fd", str(listening.fileno()), fds=(listening.fileno(),))
        wait_alive(url, process)
        answers: list[httpx.Response] = []
        halfway, go_on = threading.Event(), threading.Event()

        def slowly() -> Iterator[bytes]:
            yield png()
            halfway.set()
            go_on.wait(10)
            yield b"the rest"

        def upload() -> None:
            answers.append(
                httpx.post(f"{url}/v1/jobs", content=slowly(), params={"wait": 30}, timeout=30, trust_env=False)
            )

        thread = threading.Thread(target=upload)
        thread.start()
        assert halfway.wait(10)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        go_on.set()
        thread.join(15)
        assert process.wait(15) in (0, -signal.SIGTERM)
        assert (answers[0].status_code, answers[0].json()["state"]) == (202, "queued")


def test_a_request_that_is_just_on_its_way_is_answered(start: Start) -> None:
    """Told to stop with two open connections, one new and one that was used: both may still bring a request, and then it goes."""
    ask = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def answer_of(connection: socket.socket) -> bytes:
        connection.sendall(ask)
        got = b""
        while not got.endswith(b'{"status":"alive"}'):  # head and body may come apart
            got += (more := connection.recv(4096))
            assert more, got
        return got

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        address = listening.getsockname()
        process = start("--fd", str(listening.fileno()), fds=(listening.fileno(),))
        wait_alive(f"http://127.0.0.1:{address[1]}", process)
        with socket.create_connection(address, 10) as used, socket.create_connection(address, 10) as fresh:
            assert b" 200 " in answer_of(used)
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.4)
            for connection in (used, fresh):
                answer = answer_of(connection)
                assert b" 200 " in answer, answer
                assert b"connection: close" in answer.lower()
            assert process.wait(15) in (0, -signal.SIGTERM)


def test_beyond_this_machine_when_told_so(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = start("--host", "0.0.0.0", "--port", str(port), OPEN_TO_ALL="yes-anyone-may-read-and-send")
    wait_alive(f"http://127.0.0.1:{port}", process)
    assert httpx.get(f"http://127.0.0.1:{port}/v1/jobs", trust_env=False).status_code == 200


def test_beyond_this_machine_with_a_key(start: Start, farm_settings: Settings) -> None:
    ledger = Ledger.open(farm_settings)
    made = ledger(key_calls.create_key(NewKey(tenant="a")))
    ledger.close()
    assert made is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = start("--host", "0.0.0.0", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    wait_alive(url, process)
    assert httpx.get(f"{url}/v1/jobs", trust_env=False).status_code == 401
    assert httpx.get(f"{url}/v1/jobs", headers={"X-API-Key": made.key}, trust_env=False).status_code == 200
