from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ocrfarm_shared.contracts import Document, Failure, Line, OcrOptions, Page, Submission, Word
from ocrfarm_shared.ledger.calls import pack_page, unpack_page

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)
UNIT = st.floats(0, 1, allow_nan=False)
POINT = st.tuples(st.floats(-1e4, 1e4, allow_nan=False), st.floats(-1e4, 1e4, allow_nan=False))
POLYGON = st.lists(POINT, min_size=4, max_size=6)
WORDS = st.builds(Word, text=TEXT, confidence=UNIT, polygon=POLYGON)
LINES = st.builds(
    Line, text=TEXT, confidence=UNIT, polygon=POLYGON, words=st.lists(WORDS, max_size=3), model=st.just("m")
)
PAGES = st.builds(
    Page,
    number=st.integers(1, 10_000),
    width=st.integers(0, 30_000),
    height=st.integers(0, 30_000),
    lines=st.lists(LINES, max_size=4),
    timings_ms=st.dictionaries(st.sampled_from(["load", "detect"]), st.floats(0, 1e6)),
    error=st.one_of(st.none(), st.builds(Failure, code=st.just("timeout"), message=TEXT)),
)


@given(PAGES)
def test_a_page_survives_the_ledger(page: Page) -> None:
    assert unpack_page(pack_page(page)) == page


@given(PAGES)
def test_a_page_survives_a_newer_nodes_fields(page: Page) -> None:
    newer = page.model_dump(mode="json") | {"field_of_the_future": 1}
    assert Page.model_validate(newer) == page


@given(st.lists(PAGES, max_size=4))
def test_a_document_is_its_pages(pages: list[Page]) -> None:
    document = Document.of(pages)
    assert document.text.count("\f") == max(0, len(pages) - 1) + sum(p.text.count("\f") for p in pages)
    assert document.page_count == len(pages)


def test_what_comes_in_forbids_unknown_fields() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        OcrOptions.model_validate({"profil": "accurate"})
    with pytest.raises(ValidationError, match="Extra inputs"):
        Submission.model_validate({"ocr": {"options": {"dp": 3}}})


@pytest.mark.parametrize("good", ["3", "1-4,9", "5-", "1-4,9,12-"])
def test_page_ranges(good: str) -> None:
    assert OcrOptions(pages=good).pages == good


@pytest.mark.parametrize("bad", ["", "a", "-3", "1,,2", "1-2-3", "1;2", "１"])
def test_bad_page_ranges(bad: str) -> None:
    with pytest.raises(ValidationError):
        OcrOptions(pages=bad)
