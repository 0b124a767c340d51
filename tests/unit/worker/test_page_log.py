"""What a worker process keeps of what it says about the page at hand."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from ocrfarm_shared.telemetry import log_context
from ocrfarm_worker.page_log import LONGEST_LINE, MOST_BYTES, MOST_LINES, PageLog

log = logging.getLogger("tests.page_log")


@pytest.fixture
def kept() -> Iterator[PageLog]:
    handler = PageLog()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)


def test_records_of_this_page_alone_with_its_ids(kept: PageLog) -> None:
    log.info("before")
    kept.begin("r:3")
    with log_context(unit="r:3", page=3, attempt=2):
        log.warning("hm, %s", "ink")
    kept.end()
    log.info("after")
    (line,) = map(json.loads, kept.lines())
    assert (line["message"], line["level"], line["unit"], line["page"], line["attempt"]) == (
        "hm, ink",
        "WARNING",
        "r:3",
        3,
        2,
    )
    kept.begin("r:4")
    assert kept.lines() == []


def test_it_is_bounded_and_the_last_words_stay(kept: PageLog) -> None:
    kept.begin("u")
    for n in range(1000):
        log.info("line %d", n)
    assert len(kept.lines()) <= MOST_LINES
    assert json.loads(kept.lines()[-1])["message"] == "line 999"
    for n in range(100):
        log.info("%d %s", n, "ä" * 3000)
    assert sum(len(line.encode()) for line in kept.lines()) <= MOST_BYTES
    assert json.loads(kept.lines()[-1])["message"].startswith("99 ")
    try:
        raise ValueError("x" * 5000 + " the end")
    except ValueError:
        log.exception("no")
    last = json.loads(kept.lines()[-1])
    assert last["traceback"].endswith("the end")
    assert len(last["traceback"]) == LONGEST_LINE


def test_a_heartbeat_brings_what_is_new_and_only_about_its_unit(kept: PageLog) -> None:
    kept.begin("u")
    assert kept.unsent("u") is None
    log.info("one")
    assert kept.unsent("other") is None
    assert len(kept.unsent("u") or ()) == 1
    assert kept.unsent("u") is None
    log.info("two")
    assert len(kept.unsent("u") or ()) == 2  # all of them: the ledger's copy is replaced
    kept.end()
    assert kept.unsent("u") is None
