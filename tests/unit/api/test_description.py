"""The interface's description against the interface: schemathesis makes requests of /openapi.json, to a real gateway on a real Redis.

Every answer must be one that the description names (status, content type, headers, body), and no request may be a server's error. Ids are
those of jobs in every state most of the time, else nothing but 404 would be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.unit.api.running_gateway import PDF, Gateway, png

from ocrfarm_shared.errors import Unreadable, WorkerLost

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 10


def job(gateway: Gateway, **fields: str) -> str:
    return str(gateway.submit(cache="off", **fields).json()["id"])


@pytest.fixture
def known(gateway: Gateway) -> list[str]:
    """Ids of jobs: succeeded, failed by its document, failed by the farm (a dead letter), cancelled, running, queued, a plan."""
    gateway.hire()
    ids = [job(gateway, tag="mine")]
    gateway.read("some text")
    for error in (Unreadable(), WorkerLost()):
        ids.append(job(gateway))
        gateway.fail(error)
    ids.append(job(gateway))
    gateway.claim()
    ids.append(job(gateway))
    gateway.http.post(f"/v1/jobs/{ids[-1]}/cancel").raise_for_status()
    ids.append(job(gateway, priority="bulk"))
    ids.append(str(gateway.submit(PDF + b"x", cache="off", priority="bulk").json()["id"]))
    for parts in ([("a.png", b"no picture"), ("b.png", png())], [("c.png", png())]):
        answer = gateway.http.post("/v1/batches", files=[("file", part) for part in parts])
        BATCHES.append(answer.json()["id"])
    return ids


BATCHES: list[str] = []  # one to be looked at, one to be deleted


def settled(case: Any, known: list[str], choose: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    """A known id three times of four, and no request that is held for a minute."""
    if "job_id" in (case.path_parameters or {}) and choose(st.integers(0, 3)):
        # one job is there to be deleted, the others stay for the calls that come after
        ids = known[-1:] if case.method == "DELETE" else known[:-1]
        case.path_parameters["job_id"] = choose(st.sampled_from(ids))
    if "batch_id" in (case.path_parameters or {}) and choose(st.integers(0, 3)):
        case.path_parameters["batch_id"] = BATCHES[case.method == "DELETE"]
    if "wait" in (case.query or {}):
        case.query["wait"] = choose(st.sampled_from([0, 0.01, "x", -1, 61]))


@pytest.mark.timeout(600)
def test_every_answer_is_one_that_the_description_names(gateway: Gateway, known: list[str]) -> None:
    schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
    seen: dict[str, set[int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/events"):
            continue  # a stream without end
        label = f"{operation.method.upper()} {operation.path}"

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        @hypothesis.given(label=st.just(label), case=operation.as_strategy(), data=st.data())
        def asked(label: str, case: Any, data: st.DataObject) -> None:
            settled(case, known, data.draw)
            answer = case.call(base_url=gateway.url, timeout=60)
            seen.setdefault(label, set()).add(answer.status_code)
            assert answer.status_code < 500 or answer.status_code == 503, (
                answer.text
            )  # 503: what it holds is full, or none reads
            case.validate_response(answer, checks=CHECKS)

        asked()
    assert len(seen) >= 15
    assert {s for statuses in seen.values() for s in statuses} >= {200, 202, 204, 404, 409, 422}, seen
    assert httpx.get(f"{gateway.url}/livez", trust_env=False).status_code == 200
