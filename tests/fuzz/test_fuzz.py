"""Fuzzing for some seconds, and what longer runs found, again."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrfarm_api.kinds import kind_of
from ocrfarm_shared.errors import DocumentError, UnsupportedType
from ocrfarm_worker.decoding.parent import Decoder
from ocrfarm_worker.load import load_page
from tests.fuzz.decoding import CAPS, DPI, LIMITS, Fuzz, corpus
from tests.fuzz.uploading import Uploads

ROOT = Path(__file__).resolve().parents[2]
FOUND = sorted((Path(__file__).parent / "found").iterdir())
QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(CAPS) as made:
        yield made


def test_the_corpus_is_whole(decoder: Decoder) -> None:
    for name, data in corpus().items():
        assert kind_of(data[:1024])
        planned = decoder.plan(data, None, LIMITS)
        assert planned.page_count == {"pages.pdf": 5, "pages.tiff": 3}.get(name, 1), name
        page = decoder.page(data, None, planned.page_count, DPI, LIMITS)
        assert np.array_equal(page.image, load_page(data, None, planned.page_count, DPI, LIMITS).image), name
        assert page.image.std() > 10, f"{name} shows nothing"
    assert decoder.starts == 1


@pytest.mark.parametrize("file", FOUND, ids=lambda path: path.name)
def test_what_was_found_stays_mended(decoder: Decoder, file: Path) -> None:
    """The same from a child that opened nothing else and from one that opened all the corpus; no unknown error."""
    answers = []
    for prepared in (False, True):
        with Decoder(CAPS) as fresh:
            for data in corpus().values() if prepared else ():
                fresh.page(data, None, 1, DPI, LIMITS)
            try:
                answers.append(fresh.page(file, None, 1, DPI, LIMITS).image.tobytes())
            except DocumentError as err:
                answers.append(err.code.encode())
    assert answers[0] == answers[1]


def test_damaged_documents() -> None:
    with Fuzz(seed=2) as fuzz:
        fuzz.run(400)
    assert [said for said, _ in fuzz.found.wrong] == []
    assert fuzz.found.cases == 400
    assert {code for counter in fuzz.found.outcomes.values() for code in counter} >= {
        "ok",
        "unreadable",
        "no_such_page",
    }


def test_damaged_requests(tmp_path: Path) -> None:
    uploads = Uploads(2, tmp_path)
    uploads.run(300)
    assert [said for said, _ in uploads.found.wrong] == []
    assert {code for counter in uploads.found.outcomes.values() for code in counter} >= {
        "ok",
        "bad_option",
        "too_large",
    }


def test_the_fuzzer_sees_another_ones_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own defence, patched out: where the child answers with the page before, the run is not clean."""
    with Fuzz(seed=3) as fuzz:
        page = fuzz._first.page
        before: list[object] = []

        def stale(*asked: object) -> object:
            before.append(page(*asked))  # type: ignore[arg-type]  # passed through
            return before[-2] if len(before) > 1 else before[-1]

        monkeypatch.setattr(fuzz._first, "page", stale)
        fuzz.run(60)
    assert any("another's pixels" in said for said, _ in fuzz.found.wrong)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this machine")
@pytest.mark.parametrize("target", ["intake", "load", "pdf"])
def test_guided_by_coverage_for_a_moment(target: str, tmp_path: Path) -> None:
    """That the harness runs and what it begins with breaks no rule; an hour of it is for `python -m tests.fuzz.guided`."""
    words = [
        sys.executable,
        "-m",
        "tests.fuzz.guided",
        target,
        "--runs",
        "400",
        "--seconds",
        "60",
        "--keep",
        str(tmp_path),
    ]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"^Done (\d+) runs", done.stderr, re.M)
    assert runs, done.stderr[-1000:]
    assert int(runs[1]) > 20
    assert not list(tmp_path.glob("crash-*"))


HEADS = st.sampled_from([data[:40] for data in corpus().values()])


@QUICK
@given(head=HEADS, cut=st.integers(0, 40), tail=st.binary(max_size=300))
def test_any_bytes_behind_any_head(decoder: Decoder, head: bytes, cut: int, tail: bytes) -> None:
    data = head[:cut] + tail
    for call in (lambda: decoder.plan(data, None, LIMITS), lambda: decoder.page(data, None, 1, DPI, LIMITS)):
        with contextlib.suppress(DocumentError):
            call()


LATIN_1 = st.text(st.characters(max_codepoint=0xFF), max_size=60)  # as header bytes are decoded


@QUICK
@given(body=st.binary(max_size=600), content_type=st.one_of(st.none(), LATIN_1, st.sampled_from(
    ["multipart/form-data; boundary=x", "application/json", "image/png", 'multipart/form-data; boundary="', "multipart/form-data"]
)))  # fmt: skip
def test_any_body_of_any_type(tmp_path_factory: pytest.TempPathFactory, body: bytes, content_type: str | None) -> None:
    uploads = Uploads(1, tmp_path_factory.getbasetemp() / "uploads")
    uploads.folder.mkdir(exist_ok=True)
    with ThreadPoolExecutor(1) as uploads.threads:
        asyncio.run(uploads.look("any", content_type, body))
    assert uploads.found.wrong == []


@QUICK
@given(head=st.binary(max_size=1100))
def test_any_head_has_one_type_or_none(head: bytes) -> None:
    with contextlib.suppress(UnsupportedType):
        assert kind_of(head).media_type
