"""Certainty of the words of a line."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ImageFont

from ocrfarm_models import certain_lines, registry
from ocrfarm_models.certain_lines import certain, spans
from ocrfarm_models.ctc import Char, LineText
from ocrfarm_models.recognizer import Recognizer

DrawLine = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="module")
def crnn() -> Recognizer:
    return Recognizer.open(registry.resolve("crnn-en"))


def line_of(text: str) -> LineText:
    return LineText(text, 1.0, tuple(Char(c, 0.0, 0.0, 1.0) for c in text), "m")


@given(st.text("ab c\u00a0\u3000", max_size=12))
def test_spans_are_what_lies_between_white_space(text: str) -> None:
    assert [text[a:b] for a, b in spans(line_of(text))] == text.split()


def blurred(image: NDArray[np.uint8], text: str, word: str) -> NDArray[np.uint8]:
    """One word of a drawn line (size 32, margin 6) as if out of focus."""
    font = ImageFont.load_default(32)
    at = text.index(word)
    left, right = (6 + int(font.getlength(text[:n])) for n in (at, at + len(word)))
    out = image.copy()
    out[:, left:right] = cv2.GaussianBlur(image[:, left:right], (0, 0), 3.5)
    return out


@pytest.mark.parametrize("word", ["The", "Monday", "September"])
def test_the_word_that_is_hard_to_read_is_the_least_certain(crnn: Recognizer, draw_line: DrawLine, word: str) -> None:
    text = "The board will meet again on the third Monday in September"
    (line,) = crnn.read([blurred(draw_line(text), text, word)])
    least = min(line.parts, key=lambda part: part.certainty)
    at = text.index(word)
    middle = (line.chars[least.start].x_start + line.chars[least.end - 1].x_end) / 2
    assert abs(middle - (at + len(word) / 2) / len(text)) < 0.08
    assert sum(part.certainty > 0.8 for part in line.parts) >= 7


def test_a_line_that_is_clear_as_a_whole_is_not_looked_at_by_words(crnn: Recognizer, draw_line: DrawLine) -> None:
    (line,) = crnn.read([draw_line("Total amount")])
    assert (line.text, line.parts) == ("Total amount", ())
    assert (line.certainty or 0) > 0.98


def posteriors(columns: str, sure: float = 0.9) -> NDArray[np.float32]:
    """(1, T, classes): "-" is blank (0), "_" a space (1), "a" 2, "b" 3."""
    out = np.full((1, len(columns), 4), (1 - sure) / 3, np.float32)
    for n, char in enumerate(columns):
        out[0, n, "-_ab".index(char)] = sure
    return out


def test_a_word_is_judged_with_the_space_wherever_it_lies() -> None:
    """That the space may lie in either of two columns makes the words beside it no less certain than the space itself is."""
    spec = registry.resolve("crnn-en")
    chars = (Char("a", 0.1, 0.3, 0.97), Char(" ", 0.4, 0.6, 0.5), Char("b", 0.7, 0.9, 0.97))
    said = {}
    for name, at_4 in (("space", [0.48, 0.5, 0.01, 0.01]), ("letter", [0.48, 0.01, 0.01, 0.5])):
        posterior = posteriors("-a-_--b-", 0.97)
        posterior[0, 3], posterior[0, 4] = [0.48, 0.5, 0.01, 0.01], at_4
        index = posteriors("-a-_--b-").argmax(axis=2)
        (line,) = certain([LineText("a b", 0.9, chars, "m")], posterior, index, [32], spec)
        assert [(part.start, part.end) for part in line.parts] == [(0, 1), (2, 3)]
        said[name] = [part.certainty for part in line.parts]
    # The other column's half of the space adds to it; half a letter there takes from it.
    assert min(said["space"]) > 1.3 * max(said["letter"])


@pytest.mark.parametrize("room", [1, 500, 2_000_000])
def test_words_are_as_certain_in_any_company(
    crnn: Recognizer, draw_line: DrawLine, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """However many fit into memory together."""
    text = "The board will meet again on the third Monday in September"
    crop = blurred(draw_line(text), text, "Monday")
    (before,) = crnn.read([crop])
    monkeypatch.setattr(certain_lines, "_ROOM", room)
    (line,) = crnn.read([crop])
    assert [part.certainty for part in line.parts] == pytest.approx([part.certainty for part in before.parts])
    assert len(line.parts) > 5


@pytest.mark.parametrize("room", [1, 30_000, 2_000_000])
def test_lines_apart_are_as_certain_as_each_alone(
    crnn: Recognizer, draw_line: DrawLine, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Judged together, and made equally long for it."""
    texts = [
        "No 17",
        "The board will meet again on the third Monday",
        "",
        "when it is done",
        "and so on for ever " * 30,
    ]
    crops = [draw_line(text) for text in texts]
    alone = [crnn.read([crop])[0] for crop in crops]
    monkeypatch.setattr(certain_lines, "_ROOM", room)
    apart = crnn.read(crops, apart=True)
    assert [(line.text, line.confidence, line.chars) for line in apart] == [
        (line.text, line.confidence, line.chars) for line in alone
    ]
    for line, before in zip(apart, alone, strict=True):
        assert line.certainty == pytest.approx(before.certainty, abs=1e-9)
        assert line.evidence == pytest.approx(before.evidence)
        assert [part.certainty for part in line.parts] == pytest.approx([part.certainty for part in before.parts])
