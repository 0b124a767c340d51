"""Who may speak to a gateway without keys; and errors that nobody expected."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_api import problems


def test_hosts_that_name_this_machine(gateway: Gateway) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]", "localhost:1", f"127.0.0.1:{gateway.port}", "LocalHost:9"):
        assert gateway.http.get("/v1/jobs", headers={"Host": host}).status_code == 200, host


def test_other_hosts_are_rebinding(gateway: Gateway) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", "[::2]", "[", ""):
        for path in ("/v1/jobs", "/", "/metrics", "/openapi.json"):
            answer = gateway.http.get(path, headers={"Host": host})
            # uvicorn's parser refuses some of these by itself
            assert answer.status_code in (400, 403), host
    assert answer.json()["code"] == "forbidden"


def asked(gateway: Gateway, *head: str) -> str:
    """The answer to a GET with these header lines, as they are: HTTP libraries send no such."""
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as wire:
        wire.sendall("\r\n".join(["GET /v1/jobs HTTP/1.1", *head, "Connection: close", "", ""]).encode("latin-1"))
        got = b""
        while piece := wire.recv(65536):
            got += piece
    return got.decode("latin-1")


@pytest.mark.parametrize(
    "host",
    ["evil@127.0.0.1", "evil:x@localhost", "127.0.0.1/evil", "127.0.0.1?evil", "localhost#evil", "localhost:port", "127.0.0.1:",
     "[::1", "::1", "[localhost]", "localhost evil", "http://localhost"],
)  # fmt: skip
def test_a_host_header_holds_a_name_and_a_port_and_nothing_else(gateway: Gateway, host: str) -> None:
    assert asked(gateway, f"Host: {host}").split()[1] in ("400", "403")


def test_two_host_headers_are_none(gateway: Gateway) -> None:
    assert asked(gateway, "Host: localhost").split()[1] == "200"
    assert asked(gateway, "Host: localhost", "Host: evil.example").split()[1] == "400"
    assert asked(gateway, "Host: evil.example", "Host: localhost").split()[1] == "400"


def test_posts_from_other_sites_are_refused(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    own = f"http://127.0.0.1:{gateway.port}"
    for origin in (
        "https://evil.example",
        "null",
        f"http://x@127.0.0.1:{gateway.port}",
        f"file://127.0.0.1:{gateway.port}",
        f"http://127.0.0.1:{gateway.port + 1}",
        "http://localhost",
        "",
    ):
        headers = {"Origin": origin}
        assert gateway.http.post("/v1/jobs", content=png(), headers=headers).status_code == 403, origin
        assert gateway.http.post(f"{here}/cancel", headers=headers).status_code == 403
        assert gateway.http.delete(here, headers=headers).status_code == 403
    assert gateway.http.get(here).json()["state"] == "queued"
    assert gateway.http.post("/v1/jobs", content=png(), headers={"Origin": own}).status_code == 202


def test_beyond_this_machine_any_host_name_may_be_ours(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(host="0.0.0.0", open_to_all="yes-anyone-may-read-and-send")
    assert gateway.http.get("/v1/jobs", headers={"Host": "farm.lan"}).status_code == 200
    foreign = {"Host": "farm.lan", "Origin": "https://evil.example"}
    assert gateway.http.post("/v1/jobs", content=png(), headers=foreign).status_code == 403
    own = {"Host": "farm.lan", "Origin": "https://farm.lan"}
    assert gateway.http.post("/v1/jobs", content=png(), headers=own).status_code == 202


def test_behind_a_proxy_under_a_name_of_its_own(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(server_names="farm.example, Other.example")
    for host in (
        "farm.example",
        "other.example",
        f"127.0.0.1:{gateway.port}",
    ):  # as it came, or as the proxy rewrote it
        headers = {"Host": host, "Origin": "https://farm.example"}
        assert gateway.http.post("/v1/jobs", content=png(), headers=headers).status_code == 202
        headers = {"Host": host, "Origin": "https://evil.example"}
        assert gateway.http.post("/v1/jobs", content=png(), headers=headers).status_code == 403
    assert gateway.http.get("/", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.anyio
async def test_an_unexpected_error_is_a_generic_sentence_and_a_whole_log(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(problems.Watch)

    @app.get("/secret")
    async def secret() -> None:
        raise RuntimeError("the password is swordfish")

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def pieces() -> object:
            yield b"half"
            raise RuntimeError("broken off")

        return StreamingResponse(pieces())  # type: ignore[arg-type]  # an async generator, as Starlette takes it

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        with caplog.at_level(logging.ERROR):
            answer = await http.get("/secret")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "swordfish" not in answer.text
        assert "swordfish" in caplog.text
        with pytest.raises(RuntimeError, match="broken off"):  # a half answer must not pass for a whole one
            await http.get("/half")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
