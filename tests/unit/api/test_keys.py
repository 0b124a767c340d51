"""API keys over HTTP: made, listed, revoked, refused; and what somebody tries who has none."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_shared.ledger import key_calls


@pytest.fixture
def admin(gateway: Gateway) -> str:
    """A farm's first key, made while it had none."""
    answer = gateway.http.post("/v1/keys", json={"tenant": "ops", "roles": ["admin"]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def make(gateway: Gateway, admin: str, **asked: object) -> dict[str, object]:
    answer = gateway.http.post("/v1/keys", json={"tenant": "a"} | asked, headers={"X-API-Key": admin})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def status(gateway: Gateway, **headers: str) -> int:
    return gateway.http.get("/v1/jobs", headers=headers).status_code


def test_on_loopback_no_key_is_needed_until_there_is_one(gateway: Gateway) -> None:
    assert status(gateway) == 200
    assert gateway.submit().status_code == 202
    made = gateway.http.post("/v1/keys", json={"tenant": "a", "roles": ["admin", "read"]}).json()
    assert status(gateway) == 401
    assert gateway.submit().status_code == 401
    assert status(gateway, **{"X-API-Key": made["key"]}) == 200
    # The last key's revocation does not open the farm again.
    assert gateway.http.delete(f"/v1/keys/{made['id']}", headers={"X-API-Key": made["key"]}).status_code == 204
    assert status(gateway) == 401


def test_open_to_all_is_said_in_words(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(host="0.0.0.0", open_to_all="yes-anyone-may-read-and-send")
    assert gateway.submit().status_code == 202
    assert gateway.http.post("/v1/keys", json={"tenant": "a"}).status_code == 403  # anybody is no admin
    assert status(gateway, **{"X-API-Key": "ocr_" + "0" * 16 + "_" + "a" * 43}) == 401  # a wrong key is not none


def test_beyond_loopback_a_key_is_needed(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(host="0.0.0.0")
    assert status(gateway) == 401
    assert gateway.http.post("/v1/keys", json={"tenant": "a"}).status_code == 401
    assert gateway.http.get("/metrics").status_code == 401
    assert gateway.http.get("/livez").status_code == 200


def test_the_secret_is_shown_once_and_kept_nowhere(gateway: Gateway, admin: str) -> None:
    made = make(gateway, admin, name="the scanner", quota={"jobs_per_minute": 5}, expires_in_s=60)
    key = str(made["key"])
    assert re.fullmatch(r"ocr_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", key)
    listed = gateway.http.get("/v1/keys", headers={"X-API-Key": admin})
    (view,) = [view for view in listed.json()["keys"] if view["id"] == made["id"]]
    assert view == {name: value for name, value in made.items() if name != "key"}
    assert (view["name"], view["quota"]["jobs_per_minute"]) == ("the scanner", 5)
    assert view["roles"] == ["submit", "read"]
    secret = key.rpartition("_")[2] if key.count("_") == 2 else key[21:]
    assert secret not in listed.text
    assert "digest" not in listed.text
    redis, everything = gateway.ledger.redis, []
    for name in redis.scan_iter(f"{gateway.settings.namespace}:*"):
        everything.append(bytes(name))
        everything.append(bytes(redis.dump(name)))
    assert secret.encode() not in b"".join(everything)


def test_both_headers_are_understood(gateway: Gateway, admin: str) -> None:
    key = str(make(gateway, admin)["key"])
    for headers in (
        {"X-API-Key": key},
        {"Authorization": f"Bearer {key}"},
        {"authorization": f"bearer  {key}"},
        {"X-API-Key": key, "Authorization": f"Bearer {key}"},
        {"X-API-Key": key, "Authorization": "Basic cHJveHk6cGFzcw=="},  # a proxy's own login
    ):
        assert status(gateway, **headers) == 200, headers


def test_what_is_no_key_opens_nothing(gateway: Gateway, admin: str) -> None:
    made = make(gateway, admin)
    key, key_id = str(made["key"]), str(made["id"])
    other = "A" if key[-1] != "A" else "B"
    digest = gateway.ledger.redis.hget(f"{gateway.settings.namespace}:key:{key_id}", "digest")
    assert isinstance(digest, bytes)
    for wrong in (
        "", key[:-1], key[:-1] + other, key + "A", key.upper(), key_id, f"ocr_{key_id}_", digest.decode(),
        f"ocr_{key_id}_{digest.decode()[:43]}", "ocr_" + "0" * 16 + key[20:], f"ocr_*{key[5:]}", f"{key},{key}",
        key.replace(key_id, key_id[:-1] + "\xe9"), "x" * 100_000, "null", "undefined", '{"key": 1}',
    ):  # fmt: skip
        for headers in ({"X-API-Key": wrong}, {"Authorization": f"Bearer {wrong}".strip()}):
            sent = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = gateway.http.get("/v1/jobs", headers=sent)
            assert answer.status_code == 401, (headers, answer.text)
            assert len(wrong) < 20 or wrong not in answer.text
    assert gateway.http.get("/v1/jobs", params={"api_key": key, "key": key, "X-API-Key": key}).status_code == 401
    assert gateway.http.get("/v1/jobs", headers={"Cookie": f"X-API-Key={key}"}).status_code == 401


def test_two_keys_in_one_request_are_none(gateway: Gateway, admin: str) -> None:
    """A proxy in front may check one of them, and the gateway must not take the other."""
    a, b = (str(make(gateway, admin, tenant=tenant)["key"]) for tenant in "ab")
    for pairs in (
        [("X-API-Key", a), ("X-API-Key", b)],
        [("X-API-Key", a), ("Authorization", f"Bearer {b}")],
        [("Authorization", f"Bearer {a}"), ("Authorization", f"Bearer {b}")],
        [("X-API-Key", a), ("X-API-Key", "")],
    ):
        assert gateway.http.get("/v1/jobs", headers=pairs).status_code == 401


def test_a_key_that_has_expired(gateway: Gateway, admin: str) -> None:
    made = make(gateway, admin, expires_in_s=0.4)
    assert status(gateway, **{"X-API-Key": str(made["key"])}) == 200
    time.sleep(0.5)
    answer = gateway.http.get("/v1/jobs", headers={"X-API-Key": str(made["key"])})
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)
    (view,) = [v for v in gateway.ledger(key_calls.list_keys()).keys if v.id == made["id"]]
    assert view.expired


def test_a_revoked_key_opens_nothing_from_that_moment_on_in_any_gateway(
    gateway: Gateway, admin: str, make_gateway: Callable[..., Gateway]
) -> None:
    other = make_gateway()
    made = make(gateway, admin)
    held = {"X-API-Key": str(made["key"])}
    assert status(other, **held) == 200
    assert gateway.http.delete(f"/v1/keys/{made['id']}", headers={"X-API-Key": admin}).status_code == 204
    assert status(other, **held) == 401
    assert gateway.http.delete(f"/v1/keys/{made['id']}", headers={"X-API-Key": admin}).status_code == 404


def test_a_key_revoked_while_a_request_is_held(gateway: Gateway, admin: str) -> None:
    made = make(gateway, admin)
    held = {"X-API-Key": str(made["key"])}
    here = gateway.http.post("/v1/jobs", content=png(), headers=held).headers["location"]
    answers: list[httpx.Response] = []

    def look() -> None:
        answers.append(httpx.get(gateway.url + here, params={"wait": 50}, headers=held, timeout=60, trust_env=False))

    def post() -> None:
        answers.append(
            httpx.post(
                f"{gateway.url}/v1/jobs", content=png(), params={"wait": 50}, headers=held, timeout=60, trust_env=False
            )
        )

    threads = [threading.Thread(target=look), threading.Thread(target=post)]
    for thread in threads:
        thread.start()
    limit = time.monotonic() + 20
    while len(gateway.app.state.farm.events._watchers) < 2:
        assert time.monotonic() < limit
        time.sleep(0.02)
    gateway.ledger(key_calls.revoke_key(str(made["id"])))
    began = time.monotonic()
    for thread in threads:
        thread.join(40)
    assert time.monotonic() - began < 20  # about two seconds; this machine may be busy
    assert sorted(answer.status_code for answer in answers) == [202, 401]  # what was accepted is told


def test_a_key_revoked_while_its_upload_comes_in(gateway: Gateway, admin: str) -> None:
    made = make(gateway, admin)
    begun, go_on = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield png()
        begun.set()
        go_on.wait(20)
        yield b"the rest"

    answers: list[httpx.Response] = []

    def upload() -> None:
        headers = {"X-API-Key": str(made["key"])}
        answers.append(
            httpx.post(f"{gateway.url}/v1/jobs", content=pieces(), headers=headers, timeout=60, trust_env=False)
        )

    thread = threading.Thread(target=upload)
    thread.start()
    assert begun.wait(20)
    time.sleep(0.3)
    gateway.ledger(key_calls.revoke_key(str(made["id"])))
    go_on.set()
    thread.join(40)
    assert answers[0].status_code == 401
    assert gateway.ledger.redis.zcard(f"{gateway.settings.namespace}:jobs:a") == 0


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"tenant": "A"}, {"tenant": "a/b"}, {"tenant": ".."}, {"tenant": "incoming"}, {"tenant": "a:b"}, {"tenant": "a\n"},
        {"tenant": "x" * 64}, {"tenant": "a", "roles": []}, {"tenant": "a", "roles": ["root"]}, {"tenant": "a", "quota": {"queued": -1}},
        {"tenant": "a", "expires_in_s": 0}, {"tenant": "a", "expires_in_s": -1},
        {"tenant": "a", "id": "0" * 16}, {"tenant": "a", "name": "x" * 101},
    ],
)  # fmt: skip
def test_keys_that_are_not_made(gateway: Gateway, asked: dict[str, object]) -> None:
    body = json.dumps(asked if asked else {"roles": ["read"], "quota": 3})
    answer = gateway.http.post("/v1/keys", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_option"), answer.text


def test_a_body_without_end_is_not_taken_in(make_gateway: Callable[..., Gateway], gateway: Gateway) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(1000):
            yield b" " * 10_000

    assert gateway.http.post("/v1/keys", content=pieces()).status_code == 413
    locked = make_gateway(host="0.0.0.0")
    with socket.create_connection(("127.0.0.1", locked.port)) as raw:  # nobody's: refused before a byte of it is read
        raw.settimeout(30)
        raw.sendall(b"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000000\r\n\r\n{")
        assert raw.recv(100).startswith(b"HTTP/1.1 401 ")
    assert gateway.http.post("/v1/keys", content=b"[" * 60_000).status_code == 422


def test_not_more_keys_than_can_be_listed(gateway: Gateway, admin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_calls, "MOST_KEYS", 3)
    for _ in range(2):
        make(gateway, admin)
    answer = gateway.http.post("/v1/keys", json={"tenant": "a"}, headers={"X-API-Key": admin})
    assert answer.status_code == 422
    assert "revoke" in answer.json()["detail"]
    page = gateway.http.get("/v1/keys?offset=1&limit=1", headers={"X-API-Key": admin}).json()
    assert (len(page["keys"]), page["total"]) == (1, 3)
