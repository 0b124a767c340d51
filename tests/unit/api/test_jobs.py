"""Jobs over HTTP: real uvicorn, real Redis; the tests play the worker."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.unit.api.running_gateway import PDF, Gateway, a_page, as_json, png

from ocrfarm_api import intake
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.errors import Unreadable, WorkerLost
from ocrfarm_shared.ledger import calls


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    assert body["detail"]
    return answer.status_code, body["code"]


def test_submit_answers_202_and_where_to_look(gateway: Gateway) -> None:
    document = png()
    answer = gateway.submit(document, "Brief.png", tag="post", priority="interactive")
    assert answer.status_code == 202
    job = answer.json()
    here = f"/v1/jobs/{job['id']}"
    assert answer.headers["location"] == answer.headers["operation-location"] == here
    assert answer.headers["retry-after"] == "1"
    assert (job["state"], job["queue_position"], job["cached"]) == ("queued", 0, False)
    assert (job["tag"], job["priority"], job["filename"]) == ("post", "interactive", "Brief.png")
    assert (job["media_type"], job["size"]) == ("image/png", len(document))
    assert job["links"]["result"] == f"{here}/result"
    blob = BlobStore(gateway.settings.blob_folder).path(f"default/{hashlib.sha256(document).hexdigest()}")
    assert blob.read_bytes() == document
    assert not list(gateway.app.state.farm.blobs.incoming.iterdir())
    assert gateway.http.get(here).json() == job


def test_from_queued_to_read(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    unit = gateway.claim()
    assert gateway.http.get(here).json()["state"] == "running"
    waiting = gateway.http.get(f"{here}/result")
    assert (waiting.status_code, waiting.headers["retry-after"]) == (202, "1")

    gateway.ledger(calls.finish_page(unit.unit, unit.token, a_page(1, "read")))
    job = gateway.http.get(here).json()
    assert (job["state"], job["progress"]) == ("succeeded", {"pages_done": 1, "pages_total": 1})
    assert job["expires_at"] > job["ended_at"] >= job["started_at"] >= job["created_at"] > time.time() - 60


@pytest.mark.parametrize("how", ["json", "raw", "query"])
def test_the_other_ways_to_send(gateway: Gateway, how: str) -> None:
    document = png()
    if how == "json":
        answer = gateway.http.post("/v1/jobs", json=as_json(document, tag="t", options={"dpi": 300}, filename="b.png"))
    elif how == "raw":
        answer = gateway.http.post(
            "/v1/jobs",
            content=document,
            headers={"content-type": "image/png"},
            params={"tag": "t", "filename": "b.png"},
        )
    else:
        answer = gateway.http.post("/v1/jobs", files={"file": ("b.png", document)}, params={"tag": "t"})
    assert answer.status_code == 202
    assert (answer.json()["tag"], answer.json()["filename"], answer.json()["size"]) == ("t", "b.png", len(document))


def test_a_chunked_upload_over_the_limit_is_refused_while_it_streams(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_upload_mb=0.5)
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        yield png()
        while sent < 50_000_000:
            sent += 65_536
            yield b"x" * 65_536

    answer = gateway.http.post("/v1/jobs", content=pieces(), headers={"content-type": "image/png"})
    assert code(answer) == (413, "too_large")
    assert "0.5 MB" in answer.json()["detail"]
    assert gateway.submit(png(b"x" * 600_000)).status_code == 413
    assert not list(gateway.app.state.farm.blobs.incoming.iterdir())


def test_an_upload_that_breaks_off_leaves_nothing(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as raw:
        raw.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n" + png(b"x" * 2_000_000)
        )
        folder = gateway.app.state.farm.blobs.incoming
        limit = time.monotonic() + 10
        while not list(folder.iterdir()):
            assert time.monotonic() < limit
            time.sleep(0.01)
    while list(folder.iterdir()):
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_sender_who_falls_silent_is_let_go(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "SILENCE_S", 0.3)
    with socket.create_connection(("127.0.0.1", gateway.port)) as raw:
        raw.settimeout(10)
        raw.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n" + png())
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
    assert not list(gateway.app.state.farm.blobs.incoming.iterdir())


@pytest.mark.parametrize(
    ("document", "fields", "status", "name"),
    [
        (b"", {}, 422, "empty_file"),
        (b"some words", {}, 415, "unsupported_type"),
        (png(), {"colour": "red"}, 422, "bad_option"),
        (png(), {"layout": "table"}, 422, "bad_option"),
        (png(), {"pages": "0"}, 422, "bad_option"),
        (png(), {"pages": "2"}, 422, "no_such_page"),
        (png(), {"webhook": "http://127.0.0.1/"}, 422, "bad_option"),
        (png(), {"profile": "none-such"}, 422, "unknown_profile"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    gateway: Gateway, document: bytes, fields: dict[str, str], status: int, name: str
) -> None:
    answer = gateway.http.post("/v1/jobs", files={"file": document}, data=fields)
    assert code(answer) == (status, name)
    assert not list(gateway.settings.blob_folder.glob("*/??/*"))
    assert not list(gateway.app.state.farm.blobs.incoming.iterdir())
    assert gateway.http.get("/v1/jobs").json()["jobs"] == []


def test_bad_requests_have_their_codes(gateway: Gateway) -> None:
    assert code(gateway.http.post("/v1/jobs")) == (400, "missing_file")
    assert code(gateway.http.post("/v1/jobs?wait=61", content=png())) == (422, "bad_option")
    assert code(gateway.http.post("/v1/jobs?tag=a&tag=b", content=png())) == (422, "bad_option")
    assert code(gateway.http.post("/v1/jobs?tag=a", files={"file": png()}, data={"tag": "b"})) == (422, "bad_option")
    assert code(gateway.http.get("/v1/jobs/job_" + "0" * 32)) == (404, "not_found")
    assert code(gateway.http.get("/v1/jobs/..%2f..%2fetc")) == (404, "not_found")
    assert code(gateway.http.get("/nowhere")) == (404, "not_found")
    refused = gateway.http.put("/v1/jobs")
    assert code(refused) == (405, "method_not_allowed")
    assert set(refused.headers["allow"].split(", ")) <= {"GET", "POST"}
    assert code(gateway.http.get("/v1/jobs?state=done")) == (422, "bad_option")
    assert code(gateway.http.get("/v1/jobs?cursor=-inf")) == (422, "bad_option")


@pytest.mark.parametrize("cursor", ["1\n", "١", "1." + "1" * 21, "(1", "inf", "1e3"])
def test_a_cursor_that_nobody_gave_is_refused(gateway: Gateway, cursor: str) -> None:
    answer = gateway.http.get("/v1/jobs", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_option")


def test_half_a_surrogate_pair_is_refused_in_words(gateway: Gateway) -> None:
    for member in (r'"\ud800": 1', r'"tag": "\ud800"', r'"profile": "\ud800"', r'"options": {"\ud800": 1}'):
        body = json.dumps(as_json(png()))[:-1] + f", {member}}}"
        answer = gateway.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["status"]) == (422, 422)


def test_idempotency_key(gateway: Gateway) -> None:
    def send(document: bytes, key: str, **fields: str) -> httpx.Response:
        return gateway.http.post("/v1/jobs", files={"file": document}, data=fields, headers={"Idempotency-Key": key})

    document = png()
    first = send(document, "k")
    again = send(document, "k")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    gateway.read()
    ended = send(document, "k")
    assert (ended.status_code, ended.json()["id"], ended.json()["state"]) == (200, first.json()["id"], "succeeded")
    assert code(send(png(), "k")) == (422, "idempotency_conflict")
    assert code(send(document, "k", layout="line")) == (422, "idempotency_conflict")
    assert send(png(), "another").status_code == 202
    assert code(send(document, "x" * 256)) == (422, "bad_option")


def test_the_cache_and_its_ways_round(gateway: Gateway) -> None:
    document = png()
    first = gateway.submit(document)
    joined = gateway.submit(document)
    assert first.json()["id"] != joined.json()["id"]
    gateway.read("once")
    assert gateway.http.get(joined.headers["location"]).json()["state"] == "succeeded"
    hit = gateway.submit(document)
    assert (hit.status_code, hit.json()["state"], hit.json()["cached"]) == (200, "succeeded", True)
    assert gateway.http.get(hit.headers["location"] + "/result?format=txt").text == "once"
    assert gateway.submit(document, layout="line").status_code == 202
    assert gateway.submit(document, options='{"dpi": 300}').status_code == 202
    assert gateway.submit(document, cache="off").status_code == 202
    assert gateway.submit(document, cache="refresh").status_code == 202
    assert gateway.submit(document, profile="accurate").status_code == 202


def test_many_at_once_are_one_reading(gateway: Gateway) -> None:
    document, answers = png(), []
    threads = [threading.Thread(target=lambda: answers.append(gateway.submit(document))) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 60
    gateway.read("the one")
    with pytest.raises(AssertionError, match="nothing is published"):
        gateway.claim()
    for answer in answers:
        assert gateway.http.get(answer.headers["location"] + "/result?format=txt").text == "the one"


def test_a_full_farm_says_so(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_queued=2)
    first = gateway.submit()
    assert gateway.submit().status_code == 202
    refused = gateway.submit()
    assert code(refused) == (503, "farm_full")
    assert int(refused.headers["retry-after"]) >= 1
    gateway.http.post(first.headers["location"] + "/cancel")
    assert gateway.submit().status_code == 202


def test_list_newest_first_with_cursor(gateway: Gateway) -> None:
    made = [gateway.submit(tag="even" if n % 2 == 0 else "odd").json()["id"] for n in range(5)]
    gateway.read()
    whole = gateway.http.get("/v1/jobs").json()
    assert [job["id"] for job in whole["jobs"]] == made[::-1]
    assert whole["cursor"] is None
    assert all(job["links"]["self"] == f"/v1/jobs/{job['id']}" for job in whole["jobs"])
    found, cursor = [], None
    while True:
        page = gateway.http.get("/v1/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += [job["id"] for job in page["jobs"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert found == made[::-1]
    assert [job["id"] for job in gateway.http.get("/v1/jobs?tag=odd").json()["jobs"]] == [made[3], made[1]]
    assert [job["id"] for job in gateway.http.get("/v1/jobs?state=succeeded").json()["jobs"]] == [made[0]]


def test_cancel_and_delete(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    cancelled = gateway.http.post(f"{here}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert code(gateway.http.post(f"{here}/cancel")) == (409, "already_ended")
    refused = gateway.http.get(f"{here}/result")
    assert code(refused) == (409, "not_succeeded")
    assert "cancelled" in refused.json()["detail"]
    gone = gateway.http.delete(here)
    assert (gone.status_code, gone.content) == (204, b"")
    for answer in (
        gateway.http.get(here),
        gateway.http.delete(here),
        gateway.http.post(f"{here}/cancel"),
        gateway.http.post(f"{here}/retry"),
        gateway.http.get(f"{here}/result"),
        gateway.http.get(f"{here}/pages"),
    ):
        assert code(answer) == (404, "not_found")


def test_retry_is_a_new_job_of_the_same_document(gateway: Gateway) -> None:
    document = png()
    first = gateway.submit(document, "a.png", tag="t", layout="line").json()
    gateway.fail(Unreadable())
    again = gateway.http.post(f"/v1/jobs/{first['id']}/retry")
    assert again.status_code == 202
    job = again.json()
    assert again.headers["location"] == f"/v1/jobs/{job['id']}" != f"/v1/jobs/{first['id']}"
    assert (job["tag"], job["filename"], job["size"], job["profile"]) == ("t", "a.png", len(document), "balanced")
    assert gateway.http.get(f"/v1/jobs/{first['id']}").json()["state"] == "failed"  # the old one has ended, once
    unit = gateway.read("now")
    assert unit.options.layout == "line"
    assert gateway.http.get(f"/v1/jobs/{job['id']}/result?format=txt").text == "now"
    assert gateway.submit(document, layout="line").json()["cached"] is True  # refreshed the cache


def test_retry_past_the_cache_and_with_a_key(gateway: Gateway) -> None:
    job = gateway.submit().json()["id"]
    gateway.read("old")
    retries = [gateway.http.post(f"/v1/jobs/{job}/retry", headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert [r.status_code for r in retries] == [202, 202]
    assert retries[0].json()["id"] == retries[1].json()["id"] != job
    gateway.read("new")
    assert gateway.http.get(retries[0].headers["location"] + "/result?format=txt").text == "new"
    assert gateway.http.get(f"/v1/jobs/{job}/result?format=txt").text == "old"


def test_retry_when_the_document_is_gone(gateway: Gateway) -> None:
    document = png()
    job = gateway.submit(document).json()["id"]
    gateway.app.state.farm.blobs.remove(f"default/{hashlib.sha256(document).hexdigest()}")
    assert code(gateway.http.post(f"/v1/jobs/{job}/retry")) == (410, "expired")
    # A document that the ledger knows and the disk has lost is stored again when it is sent again.
    assert gateway.submit(document).status_code == 202
    assert gateway.http.post(f"/v1/jobs/{job}/retry").status_code == 202


def test_dead_letters_and_replay(gateway: Gateway) -> None:
    fine = gateway.submit().json()["id"]
    gateway.fail(Unreadable())  # the document's own fault: no dead letter
    job = gateway.submit().json()["id"]
    gateway.fail(WorkerLost())
    (letter,) = gateway.http.get("/v1/dead-letters").json()
    assert letter["id"] == job
    assert letter["failure"]["code"] == "worker_lost"
    assert [(a["attempt"], a["outcome"]) for a in letter["attempts"]] == [(1, "failed")]
    again = gateway.http.post(f"/v1/dead-letters/{job}/replay")
    assert again.status_code == 202
    gateway.read("at last")
    assert gateway.http.get(again.headers["location"]).json()["state"] == "succeeded"
    assert code(gateway.http.post(f"/v1/dead-letters/{fine}/replay")) == (404, "not_found")


def test_a_pdf_is_planned_first(gateway: Gateway) -> None:
    gateway.submit(PDF + png(), "b.pdf", pages="1-2")
    unit = gateway.claim()
    assert (unit.kind, unit.media_type, unit.options.pages) == ("plan", "application/pdf", "1-2")


def test_an_upload_being_removed_is_waited_for(gateway: Gateway) -> None:
    """Between the ledger's word that a blob is free and the unlink, a gateway stores no file of that name."""
    document = png()
    blob = f"default/{hashlib.sha256(document).hexdigest()}"
    held = f"{gateway.settings.namespace}:reaping:{blob}"
    gateway.ledger.redis.set(held, "1")
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(gateway.submit(document)))
    thread.start()
    time.sleep(0.3)
    assert not answers
    gateway.ledger.redis.delete(held)
    thread.join(10)
    assert answers[0].status_code == 202
    assert gateway.app.state.farm.blobs.path(blob).exists()
