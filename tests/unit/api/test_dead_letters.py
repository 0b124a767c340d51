"""Dead letters over HTTP: the cause, every attempt with what its process said, and running one again."""

from __future__ import annotations

import json

from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_shared.errors import Internal, WorkerLost
from ocrfarm_shared.ledger import calls

SAID = {"time": "t", "level": "WARNING", "logger": "l", "message": "half of the page is missing"}


def test_every_attempt_with_its_process_its_error_and_its_last_words(gateway: Gateway) -> None:
    gateway.hire()
    job = gateway.submit(name="scan.png", tag="march").json()["id"]
    # The holder says what went wrong; then one that is killed, whose last heartbeat has brought what it had said by then.
    first = gateway.claim()
    gateway.ledger(
        calls.fail(
            first.unit, Internal(), token=first.token, max_attempts=2, log=[json.dumps(SAID | {"level": "ERROR"})]
        )
    )
    second = gateway.claim()
    told = calls.heartbeat("node:1", {}, lease_s=15, unit=second.unit, token=second.token, log=[json.dumps(SAID)])
    assert gateway.ledger(told).state == "held"
    gateway.ledger(calls.fail(second.unit, WorkerLost(), owner="task", max_attempts=2))

    (listed,) = gateway.http.get("/v1/dead-letters").json()
    assert (listed["id"], listed["filename"], listed["tag"], listed["replayable"]) == (job, "scan.png", "march", True)
    assert [a["log"] for a in listed["attempts"]] == [[], []]  # a list is short
    letter = gateway.http.get(f"/v1/dead-letters/{job}").json()
    assert letter["failure"]["code"] == "worker_lost"
    assert [(a["kind"], a["page"], a["attempt"], a["outcome"]) for a in letter["attempts"]] == [
        ("page", 1, 1, "retried"),
        ("page", 1, 2, "failed"),
    ]
    assert [a["failure"]["code"] for a in letter["attempts"]] == ["internal", "worker_lost"]
    assert [(a["node"], a["process"]) for a in letter["attempts"]] == [("node", "node:7")] * 2
    assert all(a["started"] <= a["ended"] for a in letter["attempts"])
    assert [a["log"] for a in letter["attempts"]] == [[SAID | {"level": "ERROR"}], [SAID]]


def test_a_document_that_could_not_be_opened(gateway: Gateway) -> None:
    job = gateway.submit(b"%PDF-1.7\n1", name="a.pdf").json()["id"]
    gateway.fail(WorkerLost())
    (attempt,) = gateway.http.get(f"/v1/dead-letters/{job}").json()["attempts"]
    assert (attempt["kind"], attempt["page"], attempt["log"]) == ("plan", None, [])


def test_replay_is_a_new_job_and_the_letter_stays(gateway: Gateway) -> None:
    job = gateway.submit(tag="march").json()["id"]
    gateway.fail(WorkerLost())
    answer = gateway.http.post(f"/v1/dead-letters/{job}/replay", headers={"Idempotency-Key": "once"})
    assert answer.status_code == 202
    new = answer.json()
    assert new["id"] != job
    assert answer.headers["location"] == f"/v1/jobs/{new['id']}"
    assert new["tag"] == "march"
    same = gateway.http.post(f"/v1/dead-letters/{job}/replay", headers={"Idempotency-Key": "once"})
    assert same.json()["id"] == new["id"]
    gateway.read("at last")
    assert gateway.http.get(f"/v1/jobs/{new['id']}").json()["state"] == "succeeded"
    assert gateway.http.get(f"/v1/jobs/{job}").json()["state"] == "failed"  # a job ends once
    assert gateway.http.get(f"/v1/dead-letters/{job}").status_code == 200
    missing = gateway.http.get(f"/v1/dead-letters/{new['id']}")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    gateway.http.delete(f"/v1/jobs/{job}")
    assert gateway.http.get(f"/v1/dead-letters/{job}").status_code == 404


def test_a_letter_outlives_its_document(gateway: Gateway) -> None:
    namespace = gateway.settings.namespace
    job = gateway.submit(name="scan.png").json()["id"]
    gateway.fail(WorkerLost())
    gateway.ledger.redis.zadd(f"{namespace}:expiry", {job: 1})  # past its end of life
    assert gateway.ledger(calls.sweep(gateway.settings)).expired == 1
    (listed,) = gateway.http.get("/v1/dead-letters").json()
    assert (listed["id"], listed["replayable"], listed["filename"]) == (job, False, "scan.png")
    letter = gateway.http.get(f"/v1/dead-letters/{job}").json()
    assert [a["failure"]["code"] for a in letter["attempts"]] == ["worker_lost"]
    assert letter["failure"]["code"] == "worker_lost"
    assert gateway.http.post(f"/v1/dead-letters/{job}/replay").status_code == 410
    assert gateway.http.delete(f"/v1/jobs/{job}").status_code == 204
    assert gateway.http.get("/v1/dead-letters").json() == []
    assert gateway.ledger.redis.keys(f"{namespace}:run:*") == [], "what was deleted leaves nothing behind"


def test_letters_come_in_pages(gateway: Gateway) -> None:
    """Five that fail in one moment (one document, sent five times), and two before them; some go while the list is walked."""
    early = []
    for number in range(2):
        early.append(gateway.submit(png(bytes([number]))).json()["id"])
        gateway.fail(WorkerLost())
    together = {gateway.submit(png(b"same")).json()["id"] for _ in range(5)}
    gateway.fail(WorkerLost())
    seen: list[str] = []
    address = "/v1/dead-letters?limit=2"
    while address:
        answer = gateway.http.get(address)
        seen += [letter["id"] for letter in answer.json()]
        address = answer.links["next"]["url"] if "next" in answer.links else ""
    assert len(seen) == 7
    assert set(seen[:5]) == together
    assert seen[5:] == early[::-1]
    first = gateway.http.get("/v1/dead-letters?limit=2")
    gone = first.json()[-1]["id"]
    assert gateway.http.delete(f"/v1/jobs/{gone}").status_code == 204
    rest = gateway.http.get(first.links["next"]["url"].replace("limit=2", "limit=200")).json()
    assert {letter["id"] for letter in rest} >= set(seen) - {first.json()[0]["id"], gone}
    for cursor in ("", "x", "1-job_1", "-1-job_" + "0" * 32, "1-job_" + "0" * 32 + "%0A"):
        assert gateway.http.get(f"/v1/dead-letters?cursor={cursor}").status_code == 422, cursor
