"""Webhooks from the outbox to a real receiver, and what hostile targets come to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from tests.unit.api.receiver import Hostile, Receiver, endless_body, endless_headers, silence, slow_loris
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_api import hook_sender
from ocrfarm_api.hook_sender import Resolve, Sender, resolve
from ocrfarm_api.hook_targets import Targets, is_public
from ocrfarm_shared.errors import BadOption, Unreadable

SECRET = "a secret that is long enough to be one"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@contextmanager
def sending(gateway: Gateway, lookup: Resolve = resolve) -> Iterator[Sender]:
    sender = Sender(gateway.settings, lookup)
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, shorter."""
    monkeypatch.setattr(hook_sender, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(hook_sender, "LOOK_S", 0.05)


@pytest.fixture
def farm(make_gateway: Callable[..., Gateway]) -> Gateway:
    return make_gateway(webhook_secret=SECRET, webhook_hosts="127.0.0.1, localhost, *.example.org", webhook_timeout_s=2)


def submit(gateway: Gateway, url: str) -> str:
    answer = gateway.submit(webhook=url)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def webhook_of(gateway: Gateway, job: str) -> dict[str, Any]:
    return dict(gateway.http.get(f"/v1/jobs/{job}").json()["webhook"])


def until(gateway: Gateway, job: str, state: str, seconds: float = 20) -> dict[str, Any]:
    limit = time.monotonic() + seconds
    while (found := webhook_of(gateway, job))["state"] != state:
        assert time.monotonic() < limit, found
        time.sleep(0.02)
    return found


def verified(gateway: Gateway, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver checks it, with the secret that the farm shows."""
    secret = base64.b64decode(gateway.http.get("/v1/webhooks/secret").json()["secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return hmac.compare_digest(f"v1,{mac}", headers["webhook-signature"])


def test_the_end_of_a_job_and_of_a_batch(farm: Gateway, receiver: Receiver) -> None:
    hook = f"http://127.0.0.1:{receiver.port}/hook?x=1"
    job = submit(farm, hook)
    batch = farm.http.post("/v1/batches", files={"file": png()}, data={"webhook": hook, "close": "true"}).json()
    assert webhook_of(farm, job)["state"] == "waiting"
    farm.read()
    farm.fail(Unreadable())
    with sending(farm):
        receiver.wait(2)
        told = until(farm, job, "delivered")
    assert (told["status"], told["attempts"]) == (204, 1)
    for path, headers, body in receiver.got:
        assert path == "/hook?x=1"
        assert headers["host"] == f"127.0.0.1:{receiver.port}"
        assert headers["content-type"] == "application/json"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 30
        assert verified(farm, headers, body)
        assert not verified(farm, headers, body + b" ")
    said = {body["id"]: body for body in (json.loads(body) for _, _, body in receiver.got)}
    assert said[job] == {
        "id": job,
        "state": "succeeded",
        "links": {"self": f"/v1/jobs/{job}", "result": f"/v1/jobs/{job}/result"},
    }
    assert said[batch["id"]]["state"] == "failed"
    assert farm.http.get(batch["links"]["self"]).json()["webhook"]["state"] == "delivered"
    assert "ocrfarm_outbox 0.0" in farm.http.get("/metrics").text


def test_tried_again_until_it_is_taken(farm: Gateway, receiver: Receiver) -> None:
    receiver.statuses = [500, 404, 503]
    job = submit(farm, f"http://localhost:{receiver.port}/")
    farm.read()
    with sending(farm):
        told = until(farm, job, "delivered")
    assert told["attempts"] == 4
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1


def test_a_retry_after_is_honoured(farm: Gateway, receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [429], {"Retry-After": "2"}
    job = submit(farm, f"http://127.0.0.1:{receiver.port}/")
    farm.read()
    with sending(farm):
        receiver.wait(1)
        first = time.monotonic()
        until(farm, job, "delivered")
        assert time.monotonic() - first > 1.5


def test_given_up_and_said_so(make_gateway: Callable[..., Gateway], receiver: Receiver) -> None:
    farm = make_gateway(webhook_secret=SECRET, webhook_hosts="127.0.0.1", webhook_give_up_s=1)
    receiver.statuses = [500] * 1000
    job = submit(farm, f"http://127.0.0.1:{receiver.port}/")
    farm.read()
    with sending(farm):
        told = until(farm, job, "given_up")
    assert (told["status"], told["error"]) == (500, "It answered 500.")
    assert told["attempts"] > 2
    assert "ocrfarm_webhooks_given_up_total 1.0" in farm.http.get("/metrics").text


def test_410_ends_it(farm: Gateway, receiver: Receiver) -> None:
    receiver.statuses = [410]
    job = submit(farm, f"http://127.0.0.1:{receiver.port}/")
    farm.read()
    with sending(farm):
        assert until(farm, job, "given_up")["attempts"] == 1


def test_a_sender_that_dies_leaves_it_to_another(farm: Gateway, receiver: Receiver) -> None:
    """Taken by one that is never heard of again: it is lent, and due again when its time is over."""
    job = submit(farm, f"http://127.0.0.1:{receiver.port}/")
    farm.read()
    dead = Sender(farm.settings)
    assert [hook.id for hook in farm.ledger(dead._due())] == [job]
    assert farm.ledger(dead._due()) == []
    farm.ledger.redis.zadd(f"{farm.settings.namespace}:hooks", {job: 1})
    with sending(farm):
        until(farm, job, "delivered")
    assert len(receiver.got) == 1


def test_a_deleted_job_tells_nobody(farm: Gateway, receiver: Receiver) -> None:
    job, other = (submit(farm, f"http://127.0.0.1:{receiver.port}/") for _ in range(2))
    farm.read()
    farm.read()
    farm.http.delete(f"/v1/jobs/{job}")
    with sending(farm):
        until(farm, other, "delivered")
    assert [json.loads(body)["id"] for _, _, body in receiver.got] == [other]


def test_redirects_are_not_followed(farm: Gateway, receiver: Receiver) -> None:
    victim = Receiver()
    receiver.statuses, receiver.headers = [302] * 1000, {"Location": f"http://127.0.0.1:{victim.port}/secret"}
    job = submit(farm, f"http://127.0.0.1:{receiver.port}/")
    farm.read()
    with sending(farm):
        receiver.wait(2)
    assert "redirects are not followed" in webhook_of(farm, job)["error"]
    assert victim.got == []
    victim.close()


@pytest.mark.parametrize("act", [slow_loris, silence, endless_headers])
def test_slow_and_endless_targets_end_in_time_and_hold_nobody_up(
    farm: Gateway, receiver: Receiver, act: Callable[..., None]
) -> None:
    hostile = Hostile(act)
    stuck = [submit(farm, f"http://127.0.0.1:{hostile.port}/") for _ in range(30)]
    good = submit(farm, f"http://localhost:{receiver.port}/")
    for _ in range(31):
        farm.read()
    begun = time.monotonic()
    with sending(farm):
        until(farm, good, "delivered")
        assert time.monotonic() - begun < 10
        limit = time.monotonic() + 20
        while not any(webhook_of(farm, job)["attempts"] for job in stuck):
            assert time.monotonic() < limit
            time.sleep(0.1)
    hostile.close()


def test_a_body_without_end_is_not_read(farm: Gateway) -> None:
    hostile = Hostile(endless_body)
    job = submit(farm, f"http://127.0.0.1:{hostile.port}/")
    farm.read()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with sending(farm):
        assert until(farm, job, "delivered")["status"] == 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB
    hostile.close()


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["10.1.2.3", "192.168.1.1"], ["169.254.169.254"], ["::1"], ["::ffff:127.0.0.1"], ["fe80::1%eth0"], ["64:ff9b::7f00:1"]],
)  # fmt: skip
def test_a_name_that_leads_inside_is_not_connected_to(farm: Gateway, receiver: Receiver, answers: list[str]) -> None:
    job = submit(farm, f"http://evil.example.org:{receiver.port}/")
    farm.read()
    with sending(farm, lambda _host, _port: answers):
        limit = time.monotonic() + 10
        while not webhook_of(farm, job)["attempts"]:
            assert time.monotonic() < limit
            time.sleep(0.02)
    assert "at no public address" in webhook_of(farm, job)["error"]
    assert receiver.got == []


def test_a_name_is_looked_up_once_for_each_attempt(make_gateway: Callable[..., Gateway], receiver: Receiver) -> None:
    """DNS rebinding answers a public address first and an inner one next: there is no next."""
    farm = make_gateway(webhook_secret=SECRET, webhook_hosts="rebind.example.org")
    asked: list[str] = []

    def lookup(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    job = submit(farm, f"http://rebind.example.org:{receiver.port}/x")  # named, so that it may be inside
    farm.read()
    with sending(farm, lookup):
        until(farm, job, "delivered")
    assert asked == ["rebind.example.org"]
    assert receiver.got[0][1]["host"] == f"rebind.example.org:{receiver.port}"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"]
)
def test_this_machine_by_its_other_names(make_gateway: Callable[..., Gateway], receiver: Receiver, host: str) -> None:
    farm = make_gateway(webhook_secret=SECRET, webhook_hosts="*")
    answer = farm.submit(webhook=f"http://{host}:{receiver.port}/")
    if answer.status_code == 422:  # such a host is none in a URL
        return
    job = str(answer.json()["id"])
    farm.read()
    with sending(farm):
        limit = time.monotonic() + 10
        while not webhook_of(farm, job)["attempts"]:
            assert time.monotonic() < limit
            time.sleep(0.02)
    assert receiver.got == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://a.example.org/", "http or https"),
        ("http://user:pass@a.example.org/", "no user and password"),
        ("http://a.example.org:25/", "the port"),
        ("http://other.org/", "sends nothing to"),
        ("http://example.org/", "sends nothing to"),
        ("http://aexample.org/", "sends nothing to"),
        ("http://named.org.evil.net/", "sends nothing to"),
        ("//a.example.org", "http or https"),
        ("javascript:alert(1)", "http or https"),
        ("http://", "http or https"),
        ("http://[::1", "no address"),
    ],
)
def test_what_is_no_target(url: str, why: str) -> None:
    with pytest.raises(BadOption, match=why):
        Targets.of("named.org, *.example.org").check(url)


def test_the_list() -> None:
    targets = Targets.of(" Named.org , *.example.org")
    assert targets.check("https://NAMED.org./x").named
    found = targets.check("https://a.b.example.org:8443/x?y=1")
    assert (found.named, found.port) == (False, 8443)
    assert str(found.at(ip_address("2001:db8::1"))) == "https://[2001:db8::1]:8443/x?y=1"
    with pytest.raises(BadOption):
        Targets.of("").check("https://named.org/")
    assert not Targets.of("*").check("https://anything.net/").named


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1", "198.18.0.1", "224.0.0.1",
        "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "fc00::1", "fe80::1", "ff02::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_a_farm_without_a_secret_offers_none(gateway: Gateway) -> None:
    answer = gateway.submit(webhook="https://hooks.example.org/")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_option")
    assert gateway.http.get("/v1/webhooks/secret").status_code == 404
