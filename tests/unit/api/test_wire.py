"""What is beside a request's body has a bound; what is in it does not count."""

from __future__ import annotations

import os
import socket

import pytest
from tests.unit.api.running_gateway import PNG, Gateway, png

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


def test_bodies_do_not_count_in_whatever_pieces(gateway: Gateway) -> None:
    document = PNG + os.urandom(300_000)

    def bytewise() -> list[bytes]:
        return [document[i : i + 1] for i in range(len(document))]

    answer = gateway.http.post("/v1/jobs", content=iter(bytewise()), headers={"Content-Type": "image/png"})
    assert answer.status_code == 202
    for _ in range(3):  # one connection, several uploads
        answer = gateway.http.post("/v1/jobs", content=png(os.urandom(2_000_000)))
        assert answer.status_code == 202
