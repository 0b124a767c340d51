"""CTC decoding against a naive reading of its definition; positions, words, charsets."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrfarm_models import ctc
from ocrfarm_models.registry import resolve
from ocrfarm_models.spec import ModelSpec
from ocrfarm_shared.errors import ModelUnavailable

CLASSES = ("", "a", "b", "c", " ", "中", "文", "。")
COLUMNS = st.lists(st.tuples(st.integers(0, len(CLASSES) - 1), st.floats(0, 1, width=32)), min_size=0, max_size=40)


def naive(columns: list[tuple[int, float]], blank: int) -> tuple[str, float]:
    text, sure, before, best = "", [], None, 0.0
    for index, confidence in [*columns, (None, 0.0)]:
        if index == before:
            best = max(best, confidence)
            continue
        if before is not None and before != blank:
            text += CLASSES[before]
            sure.append(best)
        before, best = index, confidence
    return text, sum(sure) / len(sure) if sure else 0.0


def decoded(columns: list[tuple[int, float]], blank: int = 0, filled: float = 1.0) -> ctc.LineText:
    index = np.array([i for i, _ in columns], np.int64)
    confidence = np.array([c for _, c in columns], np.float32)
    return ctc.decode(index, confidence, CLASSES, blank=blank, model="m", filled=filled)


@given(COLUMNS, st.integers(0, len(CLASSES) - 1))
def test_text_and_confidence_are_those_of_the_definition(columns: list[tuple[int, float]], blank: int) -> None:
    line = decoded(columns, blank)
    text, confidence = naive(columns, blank)
    assert line.text == text
    assert line.confidence == pytest.approx(confidence, abs=1e-6)
    assert "".join(c.char for c in line.chars) == text


@given(COLUMNS, st.floats(0.2, 1))
def test_characters_lie_in_the_crop_in_order(columns: list[tuple[int, float]], filled: float) -> None:
    chars = decoded(columns, filled=filled).chars
    assert all(0 <= c.x_start <= c.x_end <= 1 for c in chars)
    assert all(a.x_end <= b.x_start + 1e-6 for a, b in itertools.pairwise(chars))


@given(COLUMNS)
def test_words_hold_every_visible_character_once(columns: list[tuple[int, float]]) -> None:
    line = decoded(columns)
    assert "".join(w.text for w in line.words) == line.text.replace(" ", "")
    for word in line.words:
        assert word.x_start <= word.x_end
        assert 0 <= word.confidence <= 1


def test_words_end_at_blanks_and_where_the_script_changes() -> None:
    line = decoded([(i, 1.0) for i in (1, 2, 4, 3, 5, 6, 7, 1)])
    assert [w.text for w in line.words] == ["ab", "c", "中文。", "a"]


def test_a_character_between_two_others_reaches_half_way() -> None:
    first, second, third = decoded(
        [(1, 1), (0, 1), (0, 1), (0, 1), (2, 1), (0, 1), (0, 1), (0, 1), (3, 1), (0, 1)]
    ).chars
    assert (second.x_start, second.x_end) == pytest.approx((0.25, 0.65))
    assert first.x_end == pytest.approx(second.x_start)
    assert third.x_end == pytest.approx(1.0)


def test_padding_is_no_part_of_the_crop() -> None:
    whole = decoded([(1, 1), (0, 1), (2, 1), (0, 1)])
    padded = decoded([(1, 1), (0, 1), (2, 1), (0, 1), (0, 1), (0, 1), (0, 1), (0, 1)], filled=0.5)
    assert [c.x_start for c in whole.chars] == pytest.approx([c.x_start for c in padded.chars])


def test_nothing_written_is_an_empty_line() -> None:
    for line in (decoded([]), decoded([(0, 0.9), (0, 0.8)])):
        assert (line.text, line.confidence, line.chars, line.words, line.weakest) == ("", 0.0, (), (), 0.0)


def test_the_weakest_character_is_told() -> None:
    assert decoded([(1, 0.75), (2, 0.25), (2, 0.5)]).weakest == 0.5


def test_shapes_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ValueError, match="one class and one confidence"):
        ctc.decode(np.zeros(3, np.int64), np.zeros(4, np.float32), CLASSES, blank=0, model="m")


# ------------------------------------------------------------------ charsets


@pytest.fixture
def spec() -> ModelSpec:
    return replace(resolve("ppocr-cls"), charset="metadata:charset", blank=0, space=False)


def test_charset_as_lines_keeps_odd_line_breaks(spec: ModelSpec) -> None:
    classes = ctc.charset(replace(spec, space=True), {"charset": "a\n\u2028\n\u3000\nb"})
    assert classes == ("", "a", "\u2028", "\u3000", "b", " ")


def test_charset_as_json_and_blank_at_the_end(spec: ModelSpec) -> None:
    assert ctc.charset(replace(spec, blank=2), {"charset": json.dumps(["[", "]"])}) == ("[", "]", "")


def test_charset_from_a_file_beside_the_model(spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "chars.txt").write_text("x\ny\n", "utf8")
    assert ctc.charset(replace(spec, path=tmp_path / "m.onnx", charset="file:chars.txt"), {}) == ("", "x", "y")


@pytest.mark.parametrize("source", ["metadata:charset", "file:none.txt", ""])
def test_a_charset_that_is_missing_is_told(spec: ModelSpec, source: str) -> None:
    with pytest.raises(ModelUnavailable, match="charset"):
        ctc.charset(replace(spec, charset=source), {})
