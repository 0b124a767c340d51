"""429 by tenant, 503 for the farm, both with a Retry-After; and the guards that refuse while there is still room."""

from __future__ import annotations

import io
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.conftest import RedisServer
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_api.admission import AGAIN_S
from ocrfarm_api.problems import problem
from ocrfarm_api.zip_file import Budget, ZipFile
from ocrfarm_shared.errors import OverQuota, WorkerLost
from ocrfarm_shared.keys import NewKey, Quota
from ocrfarm_shared.ledger import calls, key_calls


def client(gateway: Gateway, tenant: str, **quota: int) -> dict[str, str]:
    made = gateway.ledger(key_calls.create_key(NewKey(tenant=tenant, quota=Quota(**quota))))
    assert made is not None
    return {"X-API-Key": made.key}


def post(gateway: Gateway, headers: dict[str, str], document: bytes | None = None) -> httpx.Response:
    return gateway.http.post("/v1/jobs", content=png() if document is None else document, headers=headers)


def refusal(answer: httpx.Response) -> tuple[int, str, int]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["retryable"] is True
    return answer.status_code, body["code"], int(answer.headers["retry-after"])


def test_429_by_tenant_over_all_its_keys(gateway: Gateway) -> None:
    one, two = client(gateway, "a", jobs_per_minute=3), client(gateway, "a", jobs_per_minute=3)
    assert [post(gateway, headers).status_code for headers in (one, two, one)] == [202] * 3
    for headers in (one, two):
        answer = post(gateway, headers)
        status, code, seconds = refusal(answer)
        assert (status, code) == (429, "over_quota")
        assert 10 <= seconds <= 20
        assert "3 documents a minute" in answer.json()["detail"]
    assert post(gateway, client(gateway, "b", jobs_per_minute=3)).status_code == 202
    assert gateway.http.get("/v1/jobs", headers=one).status_code == 200  # looking is free


def test_bytes_a_day(gateway: Gateway) -> None:
    headers = client(gateway, "a", bytes_per_day=1000)
    assert post(gateway, headers, png(b"x" * 692)).status_code == 202
    status, code, seconds = refusal(post(gateway, headers, png(b"y" * 600)))
    assert (status, code) == (429, "over_quota")
    assert 3600 < seconds < 86400
    alone = post(gateway, headers, png(b"z" * 1000))
    assert (alone.status_code, alone.json()["code"]) == (413, "too_large")  # it would never fit


def test_a_repeated_request_is_answered_with_its_job_whatever_the_quota_says_now(gateway: Gateway) -> None:
    headers = client(gateway, "a", queued=1) | {"Idempotency-Key": "once"}
    document = png(b"the same")
    first = post(gateway, headers, document)
    assert first.status_code == 202
    assert refusal(post(gateway, headers | {"Idempotency-Key": "other"}))[:2] == (429, "over_quota")
    again = post(gateway, headers, document)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


def test_documents_that_are_still_to_be_opened_are_a_page_each(gateway: Gateway) -> None:
    """Else any number of them could be sent at once."""
    headers = client(gateway, "a", pages_per_day=3)
    answers = [post(gateway, headers, f"%PDF-1.7\n number {n}".encode()).status_code for n in range(5)]
    assert answers == [202, 202, 202, 429, 429]


def test_pages_a_day(gateway: Gateway) -> None:
    """They are known once a document was opened; what comes then is refused. What the cache answers costs none."""
    headers = client(gateway, "a", pages_per_day=5)
    assert post(gateway, headers, document := png(b"a page")).status_code == 202
    gateway.read()
    assert [post(gateway, headers, document).json()["cached"] for _ in range(6)] == [True] * 6
    assert post(gateway, headers, b"%PDF-1.7\n of seven").status_code == 202
    unit = gateway.claim()
    assert unit.kind == "plan"
    assert post(gateway, headers).status_code == 202  # nobody knows yet
    assert gateway.ledger(calls.finish_plan(unit.unit, unit.token, range(1, 8), 7))
    status, code, seconds = refusal(answer := post(gateway, headers))
    assert (status, code) == (429, "over_quota")
    assert "5 pages read in 24 hours" in answer.json()["detail"]
    assert 23 * 3600 <= seconds <= 24 * 3600
    assert post(gateway, client(gateway, "b", pages_per_day=5)).status_code == 202
    (hour,) = gateway.ledger.redis.keys(f"{gateway.settings.namespace}:pages:a:*")
    name, _, number = hour.decode().rpartition(":")
    gateway.ledger.redis.rename(hour, f"{name}:{int(number) - 24}")  # a day later
    time.sleep(2 * AGAIN_S)
    assert post(gateway, headers).status_code == 202


def test_uploads_that_are_refused_count(gateway: Gateway) -> None:
    """As submissions, with their bytes: nobody hammers for nothing."""
    for made in (b"no document at all", png()):
        headers = client(gateway, f"t{len(made)}", jobs_per_minute=3)
        for _ in range(3):
            answer = gateway.http.post("/v1/jobs", params={"profile": "none such"}, content=made, headers=headers)
            assert answer.status_code in (415, 422)
        assert refusal(post(gateway, headers))[:2] == (429, "over_quota")
    headers = client(gateway, "large", bytes_per_day=1_000_000)
    assert post(gateway, headers, b"x" * 900_000).status_code == 415
    assert refusal(post(gateway, headers, png(b"x" * 200_000)))[:2] == (429, "over_quota")
    other = client(gateway, "other", jobs_per_minute=3)
    assert post(gateway, other).status_code == 202


def test_refused_files_of_a_batch_count_too(gateway: Gateway) -> None:
    headers = client(gateway, "a", jobs_per_minute=3)
    parts = [("file", (f"{n}.txt", b"no document")) for n in range(3)]
    batch = gateway.http.post("/v1/batches", files=parts, headers=headers)
    assert (batch.status_code, batch.json()["counts"]["refused"]) == (202, 3)
    time.sleep(2 * AGAIN_S)
    assert refusal(post(gateway, headers))[:2] == (429, "over_quota")


def test_a_refusal_takes_no_more_than_the_bucket_twice(gateway: Gateway) -> None:
    headers = client(gateway, "a", bytes_per_day=1000)
    for _ in range(5):
        assert post(gateway, headers, b"x" * 900).status_code in (415, 429)
    assert refusal(post(gateway, headers))[2] <= 86400


def test_what_is_repeated_without_end_is_refused_at_last(gateway: Gateway) -> None:
    headers = client(gateway, "a", jobs_per_minute=3) | {"Idempotency-Key": "once"}
    document = png(b"the same")
    answers = [post(gateway, headers, document).status_code for _ in range(7)]
    assert answers[:4] == [202] * 4  # beyond the three: the job is there, and its sender may ask again
    time.sleep(2 * AGAIN_S)
    assert refusal(post(gateway, headers, document))[:2] == (429, "over_quota")


def test_a_new_idempotency_key_is_refused_before_its_body_is_read(gateway: Gateway) -> None:
    headers = client(gateway, "a", queued=1)
    assert post(gateway, headers | {"Idempotency-Key": "one"}).status_code == 202
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as wire:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {headers['X-API-Key']}\r\nIdempotency-Key: other\r\n"
        wire.sendall(f"{head}Content-Length: 3000000\r\n\r\n".encode())  # and of that nothing
        assert wire.recv(65536).startswith(b"HTTP/1.1 429")


def test_queued_at_once_and_retry_counts(gateway: Gateway) -> None:
    headers = client(gateway, "a", queued=2)
    job = post(gateway, headers).json()["id"]
    assert post(gateway, headers).status_code == 202
    assert refusal(post(gateway, headers))[:2] == (429, "over_quota")
    assert refusal(gateway.http.post(f"/v1/jobs/{job}/retry", headers=headers))[:2] == (429, "over_quota")
    gateway.read()
    assert post(gateway, headers).status_code == 202


def test_a_tenant_does_not_fill_the_whole_farm(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_queued=6)
    a, b = client(gateway, "a"), client(gateway, "b")
    assert [post(gateway, a).status_code for _ in range(4)] == [202, 202, 202, 429]
    assert [post(gateway, b).status_code for _ in range(3)] == [202] * 3
    assert refusal(post(gateway, client(gateway, "c")))[:2] == (503, "farm_full")


def test_settings_limit_a_farm_without_keys(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(tenant_jobs_per_minute=2, tenant_records=50)
    assert [gateway.submit().status_code for _ in range(3)] == [202, 202, 429]


def test_refused_before_the_body_is_read(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_queued=1)
    gateway.submit()
    with socket.create_connection(("127.0.0.1", gateway.port)) as raw:
        raw.settimeout(30)
        raw.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000000\r\n\r\n" + png())
        assert raw.recv(100).startswith(b"HTTP/1.1 503 ")
    assert not list(gateway.app.state.farm.blobs.incoming.iterdir())


def test_the_disk_guard(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(min_free_disk_mb=1e9)
    answer = gateway.submit()
    assert refusal(answer)[:2] == (503, "farm_full")
    assert "disk" in answer.json()["detail"]
    assert gateway.http.get("/v1/jobs").status_code == 200


def test_the_disk_is_looked_at_while_a_body_comes(make_gateway: Callable[..., Gateway]) -> None:
    """Many uploads that are let in at once could fill it together."""
    gateway = make_gateway(min_free_disk_mb=1e9)
    farm = gateway.app.state.farm
    farm.headroom.free_disk, farm.headroom._looked = 10**18, time.monotonic() + 3600  # as it was when they were let in
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.png", png())
    for body in (png(), png(bytes(3_000_000))):
        assert refusal(gateway.http.post("/v1/jobs", content=body))[:2] == (503, "farm_full")
        assert refusal(gateway.http.post("/v1/batches", content=body))[:2] == (503, "farm_full")
    assert refusal(gateway.http.post("/v1/batches", content=zipped.getvalue()))[:2] == (503, "farm_full")
    assert gateway.http.get("/v1/jobs").json()["jobs"] == []
    assert not list(farm.blobs.incoming.iterdir())


def test_what_comes_out_of_a_zip_leaves_room_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", png(bytes(3_000_000)))
    opened = ZipFile(tmp_path / "a.zip", most=10)
    one = next(opened.entries())
    with pytest.raises(OSError, match="kept for what was accepted"):
        opened.unpack(one, tmp_path / "x", limit=10**9, budget=Budget(10**9), least_free=10**18)
    assert not (tmp_path / "x").exists()
    assert opened.unpack(one, tmp_path / "x", limit=10**9, budget=Budget(10**9), least_free=1000).size == 3_000_008
    opened.close()


def test_reading_again_needs_room_too(make_gateway: Callable[..., Gateway]) -> None:
    gateway, full = make_gateway(), make_gateway(min_free_disk_mb=1e9)
    job = gateway.submit().json()["id"]
    gateway.fail(WorkerLost())
    for route in (f"/v1/jobs/{job}/retry", f"/v1/dead-letters/{job}/replay"):
        assert refusal(full.http.post(route))[:2] == (503, "farm_full")
        assert gateway.http.post(route).status_code == 202


def test_who_comes_when_he_was_told_to_is_not_too_early() -> None:
    told = [problem(OverQuota("No.", retry_after=seconds)).headers["retry-after"] for seconds in (0.2, 1.2, 2.0)]
    assert told == ["1", "2", "2"]


def test_the_memory_guard_refuses_while_what_was_accepted_can_still_end(
    make_gateway: Callable[..., Gateway], make_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrfarm_api.admission.LOOK_S", 0.0)
    server = make_redis("--maxmemory", "3mb")
    gateway = make_gateway(redis_url=server.url)
    accepted = []
    for _ in range(3000):
        answer = gateway.submit()
        if answer.status_code != 202:
            break
        accepted.append(answer.json()["id"])
    status, code, seconds = refusal(answer)
    assert (status, code) == (503, "farm_full")
    assert "memory" in answer.json()["detail"]  # the guard's sentence, not Redis' own OOM
    assert 1 <= seconds <= 60
    assert len(accepted) > 20
    for _ in accepted:
        gateway.read("some text " * 50)
    states = {gateway.http.get(f"/v1/jobs/{job}").json()["state"] for job in accepted}
    assert states == {"succeeded"}
    for job in accepted:
        assert gateway.http.delete(f"/v1/jobs/{job}").status_code == 204
    assert gateway.submit().status_code == 202  # it recovers by itself


def test_refusals_are_counted(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_queued=1)
    gateway.submit()
    gateway.submit()
    assert "\nocrfarm_refused_farm_full_total 1.0\n" in gateway.http.get("/metrics").text
