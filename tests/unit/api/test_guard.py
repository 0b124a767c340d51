"""Who may speak to a gateway without keys; and errors that nobody expected."""

from __future__ import annotations

import logging
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_api import problems
from ocrfarm_api.guard import is_loopback


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


def test_posts_from_other_sites_are_refused(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    own = f"http://127.0.0.1:{gateway.port}"
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{gateway.port + 1}", "http://localhost", ""):
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


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("farm", False),
    ],
)
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


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

        return StreamingResponse(pieces())  # type: ignore[arg-type]

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
