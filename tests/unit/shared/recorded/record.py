"""Write down what this release says to its other processes: the queue's message, the ledger's records, a page, a heartbeat.

    python -m tests.unit.shared.recorded.record > tests/unit/shared/recorded/RELEASE.json

Run once a release, before its first change to what is recorded; the file is committed and not written again. Later releases must go on
from every recorded one (test_releases.py), because nodes are upgraded one after the other.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import RedisServer

from ocrfarm_shared.contracts import SCHEMA_VERSION, Line, OcrOptions, Page, Priority, ReadingOptions, Submission, Word
from ocrfarm_shared.errors import WorkerLost
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.queue import queue_name
from ocrfarm_shared.settings import read_settings
from ocrfarm_shared.version import version

NAMESPACE = "rec"
PROFILE = "accurate"
SQUARE = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)]


def a_page(number: int) -> Page:
    word = Word(text="hello", confidence=0.9, polygon=SQUARE)
    line = Line(text="hello", confidence=0.9, polygon=SQUARE, words=[word], model="m")
    return Page(number=number, width=10, height=10, lines=[line], models=["m"], timings_ms={"detect": 1.5})


def record(url: str) -> dict[str, Any]:
    """A farm in mid-work: a page published, a document of three pages of which one was read, one failed once and one is being read."""
    settings = read_settings({}, redis_url=url, namespace=NAMESPACE)
    ledger = Ledger.open(settings)
    ledger(
        calls.heartbeat(
            "node:1",
            {"node": "node", "pid": 1, "version": version(), "profiles": [PROFILE], "reading": None},
            lease_s=600,
        )
    )

    def submit(content: str, plan: bool, **more: Any) -> str:
        options = OcrOptions(profile=PROFILE, languages=("en",), options=ReadingOptions(dpi=150))
        upload = calls.Upload(f"ann/{content * 64}", "application/pdf" if plan else "image/png", 7, plan)
        submission = Submission(ocr=options, priority=Priority.NORMAL, tag="t", filename=f"{content}.x", **more)
        call = calls.submit(
            tenant="ann", upload=upload, submission=submission, cache_key=f"key-{content}", settings=settings
        )
        return ledger(call).job_id

    def take() -> ClaimedUnit:
        raw = ledger.redis.rpop(queue_name(NAMESPACE, PROFILE))
        got = ledger(calls.claim(json.loads(json.loads(raw)["body"])[0][0], owner="task", node="node", lease_s=600))
        assert isinstance(got, ClaimedUnit)
        return got

    jobs = {"document": submit("d", plan=True, deadline_s=3600.0)}
    plan = take()
    ledger(calls.finish_plan(plan.unit, plan.token, [1, 2, 3], 3))
    first = take()
    ledger(calls.finish_page(first.unit, first.token, a_page(first.number)))
    second = take()
    ledger(calls.fail(second.unit, WorkerLost(), token=second.token, max_attempts=3))
    again, third = take(), take()
    ledger(calls.fail(again.unit, WorkerLost(), token=again.token, max_attempts=2))
    jobs["page"] = submit("p", plan=False)
    out = {
        "release": version(),
        "schema_version": SCHEMA_VERSION,
        "profile": PROFILE,
        "jobs": jobs,
        "held": {"unit": third.unit, "token": third.token},
        "failed_page": again.number,
        "keys": dump(ledger),
    }
    ledger.close()
    return out


def dump(ledger: Ledger) -> dict[str, Any]:
    """Every key, by type; bytes as Latin-1 text."""
    read = {
        b"string": lambda k: ledger.redis.get(k),
        b"hash": lambda k: ledger.redis.hgetall(k),
        b"list": lambda k: ledger.redis.lrange(k, 0, -1),
        b"set": lambda k: sorted(ledger.redis.smembers(k)),
        b"zset": lambda k: ledger.redis.zrange(k, 0, -1, withscores=True),
    }

    def text(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("latin-1")
        if isinstance(value, dict):
            return {text(k): text(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [text(v) for v in value]
        return value

    out = {}
    for key in sorted(ledger.redis.keys(f"{NAMESPACE}:*")):
        kind = ledger.redis.type(key)
        out[key.decode()] = {"type": kind.decode(), "value": text(read[kind](key))}
    return out


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            json.dump(record(server.url), sys.stdout, indent=1, ensure_ascii=True)
            print()
        finally:
            server.kill()


if __name__ == "__main__":
    main()
