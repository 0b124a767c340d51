"""The flows by hand: no network, no clock but the real one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrfarm import calls, flows
from ocrfarm.calls import Reply
from ocrfarm.flows import Broken, Patience, Pause, Send
from ocrfarm_shared.errors import (
    BY_CODE,
    FarmError,
    FarmFull,
    FarmUnavailable,
    NotFound,
    OcrFarmError,
    RequestError,
    TooLarge,
)

VIEW = {"id": "job_1", "state": "queued"}


def reply(status: int, body: Any = None, **headers: str) -> Reply:
    return Reply(status, headers, json.dumps(body).encode())


def refusal(status: int, code: str, **headers: str) -> Reply:
    return reply(status, {"title": "t", "status": status, "detail": "Do this.", "code": code}, **headers)


def play(flow: Any, *answers: Reply | Broken) -> tuple[Any, list[Any]]:
    """Drive a flow with these answers; its result and all steps it asked for."""
    steps, left = [], list(answers)
    step = next(flow)
    while True:
        steps.append(step)
        try:
            step = flow.send(left.pop(0) if isinstance(step, Send) else None)
        except StopIteration as end:
            assert not left
            return end.value, steps


def submission() -> calls.Call[Any]:
    return calls.submit(calls.as_upload(b"x"), {})


def test_a_busy_farm_is_asked_again_after_the_time_it_names() -> None:
    full = refusal(503, "farm_full", **{"retry-after": "7"})
    view, steps = play(flows.run(submission(), Patience()), full, full, reply(202, VIEW))
    assert view.id == "job_1"
    pauses = [step.seconds for step in steps if isinstance(step, Pause)]
    assert pauses == [7.0, 7.0]
    keys = {step.call.headers["Idempotency-Key"] for step in steps if isinstance(step, Send)}
    assert len(keys) == 1  # the same submission, so the same key


def test_a_date_is_a_retry_after_too() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30))
    assert reply(503, **{"retry-after": soon}).retry_after == pytest.approx(30, abs=2)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=30))
    assert reply(503, **{"retry-after": past}).retry_after == 0
    assert reply(503, **{"retry-after": "soon"}).retry_after is None


def test_patience_has_an_end() -> None:
    with pytest.raises(FarmFull) as caught:
        play(flows.run(submission(), Patience(give_up_s=5)), refusal(503, "farm_full", **{"retry-after": "6"}))
    assert caught.value.retry_after == 6
    with pytest.raises(FarmUnavailable, match="gone"):
        play(flows.run(submission(), Patience(give_up_s=0.1)), Broken("gone", sent=False))


@pytest.mark.parametrize("status", [400, 404, 409, 410, 413, 415, 422, 500])
def test_what_the_farm_refuses_for_good_is_not_asked_again(status: int) -> None:
    with pytest.raises(OcrFarmError):
        play(flows.run(submission(), Patience()), refusal(status, "too_large"))


def test_what_may_have_arrived_is_sent_again_only_where_that_is_safe() -> None:
    broken = Broken("cut", sent=True)
    view, _ = play(flows.run(submission(), Patience()), broken, reply(502), reply(202, VIEW))
    assert view.id == "job_1"
    once = calls.Call("POST", "/x", lambda r: r.status, repeatable=False)
    with pytest.raises(FarmUnavailable):
        play(flows.run(once, Patience()), broken)
    with pytest.raises(FarmError):
        play(flows.run(once, Patience()), reply(504))
    assert play(flows.run(once, Patience()), Broken("refused", sent=False), reply(200))[0] == 200


@given(st.floats(0.01, 1), st.floats(1, 30))
def test_delays_grow_to_a_bound_and_are_never_nothing(first: float, longest: float) -> None:
    delays = Patience(first, longest).delays()
    drawn = [next(delays) for _ in range(20)]
    assert all(0 < delay <= longest for delay in drawn)
    assert drawn[0] <= first
    assert drawn[-1] >= longest / 2


def test_problems_become_the_error_of_their_code() -> None:
    error = calls.problem(refusal(413, "too_large"))
    assert type(error) is TooLarge
    assert str(error) == "Do this."
    for code, kind in BY_CODE.items():
        assert type(calls.problem(refusal(kind.status, code))) is kind
    newer = calls.problem(refusal(418, "teapot"))
    assert isinstance(newer, RequestError)
    assert (newer.code, newer.status, str(newer)) == ("teapot", 418, "Do this.")


def test_an_answer_that_is_no_problem_is_still_an_error_that_says_so() -> None:
    error = calls.problem(Reply(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"))
    assert isinstance(error, FarmError)
    assert "502" in str(error)
    assert isinstance(calls.problem(Reply(404, {}, b"")), RequestError)


def test_waiting_goes_on_over_long_polls() -> None:
    running, done = {"id": "j", "state": "running"}, {"id": "j", "state": "partial"}
    view, steps = play(
        flows.until_ended("j", Patience(), None), reply(200, running), reply(200, running), reply(200, done)
    )
    assert view.state == "partial"
    assert [step.call.params["wait"] for step in steps if isinstance(step, Send)] == ["20"] * 3


def test_a_result_that_is_not_made_yet_is_asked_for_again() -> None:
    done = {"id": "j", "state": "succeeded"}
    body, steps = play(
        flows.result("j", "pdf", Patience(), None), reply(200, done), reply(202, {}), reply(202, {}), reply(200, "made")
    )
    assert body == b'"made"'
    assert sum(isinstance(step, Pause) for step in steps) == 2


def test_a_result_is_asked_for_again_when_the_farm_says() -> None:
    done = {"id": "j", "state": "succeeded"}
    not_yet = Reply(202, {"retry-after": "7"}, b"{}")
    _, steps = play(flows.result("j", "pdf", Patience(), None), reply(200, done), not_yet, reply(200, "made"))
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [7.0]


def test_ids_cannot_leave_their_path() -> None:
    assert calls.get("../keys?x=1").path == "/v1/jobs/..%2Fkeys%3Fx%3D1"


def test_a_job_whose_record_is_gone_is_not_waited_for() -> None:
    with pytest.raises(NotFound):
        play(flows.until_ended("j", Patience(), 5), refusal(404, "not_found"))
