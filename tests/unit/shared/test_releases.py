"""Two releases side by side: a rolling upgrade has gateways, dispatchers and workers of release n-1 and n on one Redis.

What a former release wrote is in `recorded/` (see record.py there). This release must go on from it; and must go on from what a later one
will write, by the rule in CONTRIBUTING.md: what it does not know it ignores, unless the work says that it is for later readers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.shared.recorded.record import NAMESPACE, a_page

from ocrfarm_shared.contracts import SCHEMA_VERSION, JobState, OcrOptions, Page, Submission, stored
from ocrfarm_shared.fingerprint import reader_print
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.calls import pack_page, unpack_page
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.queue import TASK_READ_UNIT, make_app, queue_name
from ocrfarm_shared.settings import Settings, read_settings
from ocrfarm_worker import tasks

RELEASES = sorted((Path(__file__).parent / "recorded").glob("*.json"))
LATER = {"shade": "mauve", "depth": {"of": [1, 2]}}  # fields that a later release may add


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.param.read_text("ascii"))
    return found


@pytest.fixture
def ledger(redis_url: str) -> Iterator[Ledger]:
    made = Ledger.open(read_settings({}, redis_url=redis_url, namespace=NAMESPACE))

    def clear() -> None:
        for key in made.redis.scan_iter(f"{NAMESPACE}:*"):
            made.redis.delete(key)

    clear()
    yield made
    clear()
    made.close()


def restore(ledger: Ledger, recorded: dict[str, Any], *, extra: dict[str, Any] | None = None) -> None:
    """The recorded keys, as Redis held them; with `extra`, those fields are in every hash, and in every JSON text inside them too."""
    more = {name: json.dumps(value) for name, value in (extra or {}).items()}

    def grown(value: str) -> bytes:
        if extra and value.startswith("{"):
            value = json.dumps(add(json.loads(value), extra))
        return value.encode("latin-1")

    for key, held in recorded["keys"].items():
        value = held["value"]
        match held["type"]:
            case "string":
                ledger.redis.set(key, grown(value))
            case "hash":
                plain = key.rpartition(":")[2] == "p" or key.endswith((":handed", ":stats"))
                ledger.redis.hset(key, mapping={k: grown(v) for k, v in value.items()} | ({} if plain else more))
            case "list":
                ledger.redis.rpush(key, *map(grown, value))
            case "set":
                ledger.redis.sadd(key, *(v.encode("latin-1") for v in value))
            case "zset":
                ledger.redis.zadd(key, dict(value))
    # The recorded moment is long past: leases, slots and deadlines are moved to now.
    for key in ledger.redis.scan_iter(f"{NAMESPACE}:*"):
        if key.decode().rpartition(":")[2] in ("slots", "deadlines", "expiry") or b":leases:" in key:
            for member in ledger.redis.zrange(key, 0, -1):
                ledger.redis.zadd(key, {member: time.time() + 600})


def add(value: Any, extra: dict[str, Any]) -> Any:
    """Into this JSON object and all inside it; milliseconds by stage are a table, not fields."""
    if isinstance(value, dict):
        return {k: v if k == "timings_ms" else add(v, extra) for k, v in value.items()} | extra
    if isinstance(value, list):
        return [add(v, extra) for v in value]
    return value


def messages(ledger: Ledger, profile: str) -> list[dict[str, Any]]:
    """All that are published, taken."""
    queue = queue_name(NAMESPACE, profile)
    return [json.loads(raw) for raw in iter(lambda: ledger.redis.rpop(queue), None)]


def units(published: list[dict[str, Any]]) -> list[str]:
    return [json.loads(message["body"])[0][0] for message in published]


@pytest.mark.parametrize("extra", [None, LATER], ids=["as recorded", "with later fields"])
def test_work_goes_on_where_another_release_left_it(
    ledger: Ledger, recorded: dict[str, Any], extra: dict[str, Any] | None
) -> None:
    restore(ledger, recorded, extra=extra)
    jobs, profile = recorded["jobs"], recorded["profile"]
    document, page = ledger(calls.view("ann", [jobs["document"], jobs["page"]]))
    assert document.submission.ocr.options.dpi == 150
    assert (document.view.progress.pages_done, document.view.progress.pages_total) == (2, 3)
    assert [p.lines[0].text for p in ledger(calls.pages(document.run_id)) if p.lines] == ["hello"]

    # A worker of that release still reads a page; it records it, and this release's worker takes what is published.
    held = recorded["held"]
    pulse = ledger(calls.heartbeat("node:1", {}, lease_s=600, unit=held["unit"], token=held["token"]))
    assert pulse.state == "held"
    assert ledger(calls.finish_page(held["unit"], held["token"], a_page(3)))
    for unit in units(messages(ledger, profile)):
        got = ledger(calls.claim(unit, owner="t", node="n", process="n:1", lease_s=600))
        assert isinstance(got, ClaimedUnit)
        assert (got.profile, got.options.languages, got.options.options.dpi) == (profile, ("en",), 150)
        assert isinstance(got.reader, str)  # a default, where the run says nothing of it
        assert ledger(calls.finish_page(got.unit, got.token, a_page(got.number)))

    document, page = ledger(calls.view("ann", [jobs["document"], jobs["page"]]))
    assert (page.view.state, document.view.state) == (JobState.SUCCEEDED, JobState.PARTIAL)
    (letter,) = ledger(calls.dead_letters("ann"))
    assert letter.id == jobs["document"]
    assert [(a.page, a.attempt, a.failure.code, a.log) for a in letter.attempts] == [
        (recorded["failed_page"], 1, "worker_lost", []),
        (recorded["failed_page"], 2, "worker_lost", []),
    ]
    state = ledger(calls.farm("ann"))
    assert (state.active_jobs, state.queued, state.published, state.running) == (0, 0, 0, 0)


def test_pages_and_options_ignore_what_they_do_not_know(recorded: dict[str, Any]) -> None:
    written = json.dumps(add(json.loads(a_page(1).model_dump_json()), LATER)).encode()
    assert unpack_page(b"j" + written) == a_page(1)
    assert unpack_page(pack_page(a_page(1))) == a_page(1)
    for key, held in recorded["keys"].items():
        if key.startswith(f"{NAMESPACE}:job:"):
            text = held["value"]["submission"]
            assert stored(Submission, json.dumps(add(json.loads(text), LATER))) == stored(Submission, text)
    assert stored(OcrOptions, "{}") == OcrOptions()  # what a former release did not know has a default
    with pytest.raises(ValueError, match="shade"):  # over HTTP a typing error stays an error
        OcrOptions.model_validate(LATER)


def submit(ledger: Ledger, settings: Settings, schema: int) -> str:
    """A page as a gateway of that schema would submit it."""
    upload = calls.Upload("ann/" + "a" * 64, "image/png", 1, plan=False)
    submission = Submission(ocr=OcrOptions(profile="accurate"))
    call = calls.submit(tenant="ann", upload=upload, submission=submission, cache_key="k", settings=settings)
    call.arguments["schema"] = schema
    return ledger(call).job_id


def test_what_is_for_a_later_release_is_left_to_it(ledger: Ledger, redis_url: str) -> None:
    """Not lost, not failed, no attempt spent; and whoever hands it out, its message says so."""
    settings = read_settings({}, redis_url=redis_url, namespace=NAMESPACE, heartbeat_s=0.01, lease_s=0.05)
    ledger(calls.heartbeat("node:1", {}, lease_s=600))
    job = submit(ledger, settings, SCHEMA_VERSION + 1)
    (message,) = messages(ledger, "accurate")
    assert message["headers"]["schema_version"] == SCHEMA_VERSION + 1
    (unit,) = units([message])
    assert ledger(calls.claim(unit, owner="old", node="n", lease_s=600)) == "newer"
    (record,) = ledger(calls.view("ann", [job]))
    assert (record.view.state, record.view.attempt) == (JobState.QUEUED, 0)
    deadline = time.monotonic() + 60
    while not (offered := messages(ledger, "accurate")):
        assert time.monotonic() < deadline, "it was never offered again"
        ledger(calls.sweep(settings))
    assert units(offered) == [unit]
    got = ledger(calls.claim(unit, owner="new", node="n", lease_s=600, schema=SCHEMA_VERSION + 1))
    assert isinstance(got, ClaimedUnit)
    assert got.attempt == 1
    assert ledger(calls.finish_page(got.unit, got.token, Page(number=1, width=1, height=1)))
    assert ledger(calls.view("ann", [job]))[0].view.state is JobState.SUCCEEDED


def test_a_worker_lets_a_later_releases_message_go(ledger: Ledger, redis_url: str) -> None:
    """Through Celery's own decoding; nothing is claimed. Arguments that it does not know are no trouble."""
    settings = read_settings({}, redis_url=redis_url, namespace=NAMESPACE)
    submit(ledger, settings, SCHEMA_VERSION + 1)
    (message,) = messages(ledger, "accurate")
    app = make_app(settings)
    tasks.register(app)
    task = app.tasks[TASK_READ_UNIT]
    (arguments, _, _) = json.loads(message["body"])
    task.push_request(**message["headers"])
    try:
        assert task.run(*arguments, {"later": 1}, also="later") == "newer"
    finally:
        task.pop_request()
        app.close()
    assert ledger(calls.farm("ann")).published == 1


def test_a_reading_by_other_models_than_the_key_names_is_not_kept(ledger: Ledger, redis_url: str) -> None:
    settings = read_settings({}, redis_url=redis_url, namespace=NAMESPACE)
    upload = calls.Upload("ann/" + "a" * 64, "image/png", 1, plan=False)
    wanted = Submission(ocr=OcrOptions(profile="accurate"))

    def submit_as(reader: str) -> str:
        call = calls.submit(
            tenant="ann", upload=upload, submission=wanted, cache_key="k", settings=settings, reader=reader
        )
        return ledger(call).outcome

    for reader, then in ((reader_print({"rec": "2"}), "new"), (tasks.reader_of("accurate"), "hit"), ("", "hit")):
        assert submit_as(reader) in ("new", "hit")
        for unit in units(messages(ledger, "accurate")):
            got = ledger(calls.claim(unit, owner="t", node="n", lease_s=600))
            assert isinstance(got, ClaimedUnit)
            page = Page(number=1, width=1, height=1)
            assert ledger(calls.finish_page(got.unit, got.token, page, cacheable=tasks.as_asked(got)))
        assert submit_as(reader) == then
        if then == "new":
            for unit in units(messages(ledger, "accurate")):
                got = ledger(calls.claim(unit, owner="t", node="n", lease_s=600))
                assert isinstance(got, ClaimedUnit)
                ledger(calls.finish_page(got.unit, got.token, Page(number=1, width=1, height=1), cacheable=False))
