from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrfarm_api.options import check_single_page, page_ranges, submission
from ocrfarm_shared.contracts import CacheMode, Layout, Priority
from ocrfarm_shared.errors import BadOption, NoSuchPage, RequestError, UnknownProfile
from ocrfarm_shared.settings import read_settings

SETTINGS = read_settings({}, dpi=150)


def test_defaults() -> None:
    made = submission({}, SETTINGS)
    assert made.ocr.profile == "balanced"
    assert made.ocr.options.dpi == 150
    assert (made.cache, made.priority, made.tag) == (CacheMode.USE, Priority.NORMAL, None)


def test_texts_and_json_values_mean_the_same() -> None:
    texts = {
        "profile": "accurate", "layout": "line", "languages": "zh, EN,zh", "pages": "1-2,5-", "cache": "off", "priority": "bulk",
        "tag": "t", "deadline_s": "60", "options": '{"dpi": 300, "orientation": false}', "filename": "x" * 300,
    }  # fmt: skip
    values = texts | {"languages": ["zh", "en"], "deadline_s": 60, "options": {"dpi": 300, "orientation": False}}
    made = submission(texts, SETTINGS)
    assert made == submission(values, SETTINGS)
    assert made.ocr.layout is Layout.LINE
    assert made.ocr.languages == ("zh", "en")
    assert made.ocr.options.dpi == 300
    assert made.deadline_s == 60
    assert made.filename == "x" * 255


def test_an_empty_text_is_none() -> None:
    assert submission({"tag": "", "pages": "", "languages": "", "options": ""}, SETTINGS) == submission({}, SETTINGS)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"colour": "red"}, "`colour`; there are: profile, layout"),
        ({"layout": "table"}, "`layout` is not valid: there are: auto, page, line"),
        ({"cache": "no"}, "there are: use, refresh, off"),
        ({"priority": "high"}, "interactive, normal, bulk"),
        ({"deadline_s": "soon"}, "`deadline_s`.*seconds"),
        ({"deadline_s": "0"}, "`deadline_s`"),
        ({"deadline_s": "nan"}, "`deadline_s`"),
        ({"tag": "x" * 101}, "`tag`"),
        ({"tag": 5}, "`tag`"),
        ({"pages": "one"}, "`pages`.*counted from 1"),
        ({"pages": "0"}, "`pages`"),
        ({"pages": "5-2"}, "`pages`"),
        ({"pages": "1-2-3"}, "`pages`"),
        ({"languages": "tlh"}, "`languages`.*'tlh'.*en, zh, ja"),
        ({"languages": {"en": 1}}, "`languages`"),
        ({"options": "{"}, "`options` is not valid JSON"),
        ({"options": "[1]"}, "`options` must be an object"),
        ({"options": '{"dpi": 9}'}, "`options.dpi`"),
        ({"options": '{"colour": 1}'}, "`options.colour`; there are: orientation, dpi, min_confidence"),
        ({"webhook": "https://example.org/x"}, "`webhook`: this farm sends none"),
        ({"profile": ["accurate"]}, "`profile`"),
    ],
)
def test_refusals_name_the_option(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadOption, match=says):
        submission(fields, SETTINGS)


def test_unknown_profile_names_those_there_are() -> None:
    with pytest.raises(UnknownProfile, match="accurate, accurate-int8"):
        submission({"profile": "best"}, SETTINGS)


@given(st.dictionaries(st.sampled_from(["profile", "layout", "languages", "pages", "options", "tag", "deadline_s", "filename"]),
                       st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())))  # fmt: skip
def test_no_value_is_more_than_a_bad_option(fields: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):  # anything else is not
        submission(fields, SETTINGS)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 500) | st.none()), min_size=1, max_size=9))
def test_page_ranges(wanted: list[tuple[int, int | None]]) -> None:
    ranges = [(start, None if more is None else start + more) for start, more in wanted]
    text = ",".join(f"{a}-" if b is None else f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)
    assert page_ranges(text) == ranges


def test_an_image_has_one_page() -> None:
    check_single_page(None)
    check_single_page("5,1-3")
    with pytest.raises(NoSuchPage):
        check_single_page("2-")
