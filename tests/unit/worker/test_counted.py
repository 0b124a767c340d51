"""What a worker process counts of the pages that it reads."""

from __future__ import annotations

import os

import numpy as np
from tests.documents import page

from ocrfarm_models.engines import Engines
from ocrfarm_shared.contracts import OcrOptions
from ocrfarm_shared.counting import tally
from ocrfarm_shared.ledger.calls import Recorded
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_worker import counted
from ocrfarm_worker.document import LoadedPage
from ocrfarm_worker.pipeline import read_page


def a_unit(profile: str) -> ClaimedUnit:
    return ClaimedUnit(
        "run_x:1", 1, 1, "run_x", "page", 1, "default", "b", "image/png", profile, OcrOptions(), priority="bulk", waited_s=2.0
    )  # fmt: skip


def test_the_step_that_had_the_last_word(engines_balanced: Engines, engines_int8: Engines, engines: Engines) -> None:
    assert counted.step("crnn-en", engines_balanced) == "first"
    assert counted.step("ppocrv6-rec-int8", engines_balanced) == "main"
    assert counted.step("ppocrv6-rec", engines_balanced) == "fallback"
    assert counted.step("ppocrv6-rec-int8", engines_int8) == "only"
    assert counted.step("ppocrv6-rec", engines_int8) == "reread"
    assert counted.step("ppocrv6-rec", engines) == "only"


def test_a_page_that_was_read_is_counted(engines_balanced: Engines) -> None:
    picture = np.asarray(page("Ready when you are", width=900, height=160).convert("RGB"))[:, :, ::-1]
    tally.take()
    read = read_page(
        LoadedPage(np.ascontiguousarray(picture), None), 1, OcrOptions(profile="balanced"), engines_balanced
    )
    timed = tally.take()
    assert sum(n for field, n in timed.items() if field.startswith("model_s:crnn-en:le:")) >= 1
    assert 0 < timed["model_s:crnn-en:us"] < 60e6
    counted.claimed(a_unit("balanced"))
    counted.page(a_unit("balanced"), read, Recorded(True, 7.0), engines_balanced, 0.2)
    found = tally.take()
    assert found["lines_read"] == len(read.lines) == sum(n for f, n in found.items() if f.startswith("lines:balanced:"))
    for stage in read.timings_ms:
        assert sum(n for field, n in found.items() if field.startswith(f"stage_s:{stage}:le:")) == 1, stage
    assert found["page_s:balanced:le:0.25"] == 1
    assert found["reading_s:bulk:le:10"] == 1
    assert found["wait_s:bulk:le:2.5"] == 1


def test_pace_follows_the_last_pages() -> None:
    pace = None
    for seconds in (1.0, 1.0, 5.0):
        pace = counted.pace(pace, seconds)
    assert pace == 1.8


def test_memory_is_this_process_and_its_child() -> None:
    alone = counted.memory_bytes()
    assert 20_000_000 < alone < 8_000_000_000
    assert counted.memory_bytes(os.getpid()) > 1.9 * alone
    assert counted.memory_bytes(2**22 + 1) >= 0.5 * alone  # a child that is gone
