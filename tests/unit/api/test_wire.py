"""What is beside a request's body has a bound; what is in it does not count."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.unit.api.running_gateway import PNG, Gateway, png

from ocrfarm_api import intake
from ocrfarm_api.wire import BoundedHead

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"


def pour(gateway: Gateway, begin: bytes, piece: bytes, most: int) -> tuple[int, bytes]:
    """Send `piece` again and again; how many bytes went, and the answer, once the gateway hangs up (or `most` were sent)."""
    went, answer = 0, b""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(begin)
        try:
            while went < most:
                connection.sendall(piece)
                went += len(piece)
            answer = connection.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            pass
    return went, answer


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (HEAD + b"X: ", b"a" * 65536),
        (HEAD, b"x: \r\n" * 8192),
        (CHUNKED + b"5\r\n" + PNG[:5] + b"\r\n0\r\nX: ", b"a" * 65536),
    ],
    ids=["one header", "many headers", "trailer"],
)
def test_headers_without_end_are_cut_off(gateway: Gateway, begin: bytes, piece: bytes) -> None:
    went, _ = pour(gateway, begin, piece, 64_000_000)
    assert went < 20_000_000  # what fits into the sockets' buffers
    assert gateway.http.get("/livez").status_code == 200


def test_a_header_too_long_is_told(gateway: Gateway) -> None:
    _, answer = pour(gateway, HEAD + b"X: ", b"a" * 600_000, 600_000)
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_request_that_does_not_come_is_not_waited_for(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHead, "head_s", 0.5)
    for begin in (
        b"",
        b"\r\n",
        HEAD,
        HEAD + b"\r\n" + HEAD,
    ):  # nothing; less than nothing; half a head; a whole one before it
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
            connection.sendall(begin)
            got, began = b"", time.monotonic()
            while piece := connection.recv(4096):
                got += piece
            assert time.monotonic() - began < 8
            assert (b"HTTP/1.1 408 " in got) is (begin == HEAD), got
            assert (b"HTTP/1.1 200 " in got) is (HEAD + b"\r\n" in begin)


def test_a_head_that_trickles_is_cut_off(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHead, "head_s", 0.5)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        began = time.monotonic()
        try:
            connection.sendall(HEAD)
            while time.monotonic() - began < 8:
                connection.sendall(b"x: 1\r\n")
                time.sleep(0.05)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert time.monotonic() - began < 8


def test_requests_one_after_the_other_and_held_ones_are_not_cut_off(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedHead, "head_s", 0.5)
    with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as http:
        job = http.post("/v1/jobs", content=png()).json()["id"]
        assert http.get(f"/v1/jobs/{job}", params={"wait": 1.5}).json()["state"] == "queued"
        time.sleep(0.8)  # idle between two requests: uvicorn's own keep-alive
        assert http.get("/livez").status_code == 200


def test_connections_have_a_bound(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as http:
        assert http.get("/livez").status_code == 200
        monkeypatch.setattr(BoundedHead, "most_connections", len(gateway.server.server_state.connections) + 3)
        held = [socket.create_connection(("127.0.0.1", gateway.port), timeout=10) for _ in range(3)]
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as one_more:
            got = one_more.recv(4096)
        assert got.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 5" in got
        assert http.get("/livez").status_code == 200  # those who are in stay in
        for connection in held:
            connection.close()
        time.sleep(0.2)
        with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as other:
            assert other.get("/livez").status_code == 200


def test_an_upload_that_trickles_is_cut_off(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "SILENCE_S", 0.5)
    monkeypatch.setattr(intake, "SLOWEST_BYTES_S", 1000.0)

    def drops() -> Iterator[bytes]:
        yield PNG
        for _ in range(100):
            time.sleep(0.1)
            yield b"x"

    with pytest.raises(
        httpx.HTTPError
    ):  # answered and hung up while we still send; a client that reads first sees the 400
        gateway.http.post("/v1/jobs", content=drops()).raise_for_status()

    def streams() -> Iterator[bytes]:
        for _ in range(12):
            time.sleep(0.1)
            yield PNG + b"x" * 1000

    assert gateway.http.post("/v1/jobs", content=streams()).status_code == 202


def test_bodies_do_not_count_in_whatever_pieces(gateway: Gateway) -> None:
    document = PNG + os.urandom(300_000)

    def bytewise() -> list[bytes]:
        return [document[i : i + 1] for i in range(len(document))]

    answer = gateway.http.post("/v1/jobs", content=iter(bytewise()), headers={"Content-Type": "image/png"})
    assert answer.status_code == 202
    for _ in range(3):  # one connection, several uploads
        answer = gateway.http.post("/v1/jobs", content=png(os.urandom(2_000_000)))
        assert answer.status_code == 202


def hold_an_answer(gateway: Gateway) -> socket.socket:
    """Ask for a result of 24 MB, and take none of it."""
    here = gateway.submit().headers["location"]
    gateway.read("x" * 24_000_000)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", gateway.port))
    connection.sendall(f"GET {here}/result?format=txt HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def connections(gateway: Gateway) -> int:
    return len(gateway.server.server_state.connections)


def test_an_answer_that_nobody_takes_is_let_go(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever asks for results and reads none holds them in the gateway's memory, for as long as he likes."""
    monkeypatch.setattr(BoundedHead, "take_s", 0.5)
    with hold_an_answer(gateway) as connection:
        for wanted in (2, 1):  # the test's own client has one, too
            limit = time.monotonic() + 10
            while connections(gateway) != wanted:
                assert time.monotonic() < limit, connections(gateway)
                time.sleep(0.02)
        assert held_back(connection) > 1_000_000
    assert gateway.http.get("/livez").status_code == 200


def held_back(connection: socket.socket) -> int:
    """Bytes of the answer that never come."""
    got = 0
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1_000_000):
            got += len(piece)
    return 24_000_000 - got


def test_an_answer_that_is_taken_slowly_is_not_cut_off(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHead, "take_s", 0.5)
    with hold_an_answer(gateway) as connection:
        got, began = 0, time.monotonic()
        while got < 24_000_000:
            piece = connection.recv(50_000 if time.monotonic() < began + 3 else 1_000_000)
            assert piece, got
            got += len(piece)
            if time.monotonic() < began + 3:  # some 400 KB a second
                time.sleep(0.1)
    assert gateway.http.get("/livez").status_code == 200
