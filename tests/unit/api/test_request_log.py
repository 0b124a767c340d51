"""Every request has an id, and the log says what became of those that change something."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from tests.unit.api.running_gateway import Gateway

from ocrfarm_shared.telemetry import JsonFormatter, TextFormatter, log_context, note


class Kept(logging.Handler):
    """What was logged, as the JSON formatter writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(JsonFormatter().format(record)))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, log = Kept(), logging.getLogger("ocrfarm_api")
    former = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(former)


def test_a_submission_is_logged_with_its_ids(gateway: Gateway, kept: Kept) -> None:
    answer = gateway.submit()
    job = answer.json()["id"]
    (line,) = kept.lines
    assert (line["message"].split(":")[0], line["job"], line["outcome"]) == ("POST /v1/jobs", job, "new")
    assert str(line["run"]).startswith("run_")
    assert line["request"] == answer.headers["x-request-id"]
    gateway.http.post(f"/v1/jobs/{job}/cancel")
    assert (kept.lines[1]["message"].split(":")[0], kept.lines[1]["job"]) == ("POST /v1/jobs/{job_id}/cancel", job)


def test_reading_and_probes_are_not_logged(gateway: Gateway, kept: Kept) -> None:
    assert gateway.http.get("/readyz").status_code == 503
    gateway.http.get("/v1/jobs")
    gateway.http.get("/metrics")
    assert kept.lines == []


def test_an_items_line_says_which_job_it_became(gateway: Gateway, kept: Kept) -> None:
    files = [("file", (f"{n}.png", b"\x89PNG\r\n\x1a\n" + bytes([n]))) for n in range(3)]
    answer = gateway.http.post("/v1/batches", files=files)
    assert answer.status_code == 202
    items = [line for line in kept.lines if line["logger"] == "ocrfarm_api.submit"]
    assert len({line["job"] for line in items}) == 3
    assert {line["request"] for line in items} == {answer.headers["x-request-id"]}


def test_ones_own_id_is_kept_and_nonsense_is_not(gateway: Gateway) -> None:
    assert gateway.http.get("/livez", headers={"X-Request-ID": "my-own.7"}).headers["x-request-id"] == "my-own.7"
    for bad in ("x" * 65, "two words", '"quoted"', ""):
        given = gateway.http.get("/livez", headers={"X-Request-ID": bad}).headers["x-request-id"]
        assert len(given) == 16, bad
    assert len({gateway.http.get("/livez").headers["x-request-id"] for _ in range(5)}) == 5


def test_an_error_of_our_own_carries_the_request(gateway: Gateway, kept: Kept) -> None:
    gateway.ledger.redis.set(f"{gateway.settings.namespace}:batches:default", "no sorted set")
    answer = gateway.http.get("/v1/batches")
    assert answer.status_code == 500
    errors = [line for line in kept.lines if line["level"] == "ERROR"]
    assert errors
    assert {line["request"] for line in kept.lines} == {answer.headers["x-request-id"]}
    assert "traceback" in errors[0]


def test_notes_stay_in_their_context() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "hello", None, None)
    with log_context(request="r"):
        note(job="j")
        assert TextFormatter().format(record).endswith("INFO    hello  [request=r job=j]")
        with log_context(page=3):
            note(more=1)
        assert "more" not in TextFormatter().format(record)
    note(job="nobody")
    assert TextFormatter().format(record).endswith("hello")
