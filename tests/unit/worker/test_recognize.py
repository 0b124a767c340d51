"""Which recogniser is given what of a line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.worker.test_piecework import SENTENCE, drawn

from ocrfarm_models.ctc import Char, LineText
from ocrfarm_models.engines import Engines
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.registry import resolve
from ocrfarm_worker import recognize
from ocrfarm_worker.crop import whole
from ocrfarm_worker.recognize import _with_spaces, read, read_wholes


class Watched(Recognizer):
    """The real recogniser; it remembers the widths of what it was given."""

    widths: list[int]

    def read(
        self, crops: Sequence[NDArray[np.uint8]], *, min_columns: int = 0, loose: bool = False, apart: bool = False
    ) -> list[LineText]:
        if hasattr(self, "widths"):
            self.widths += [crop.shape[1] for crop in crops]
        return super().read(crops, min_columns=min_columns, loose=loose, apart=apart)


@pytest.fixture
def watched(engines_balanced: Engines) -> tuple[Engines, Watched]:
    large = Watched.open(resolve("ppocrv6-rec-int8"))
    assert isinstance(large, Watched)
    large.widths = []
    return dataclasses.replace(engines_balanced, recognizer=large), large


def struck_out(word: str) -> NDArray[np.uint8]:
    """The sentence with a line through one word: hard for the small recogniser."""
    image, line = drawn(SENTENCE)
    at = SENTENCE.index(word)
    left, right = (int(line.chars[n].x_start * image.shape[1]) for n in (at, at + len(word)))
    image[20:23, left:right] = 0
    return image


@pytest.mark.parametrize("how", ["of a page", "alone"])
def test_the_large_recogniser_is_given_the_doubtful_word_alone(watched: tuple[Engines, Watched], how: str) -> None:
    engines, large = watched
    crop = whole(struck_out("invoice"))
    alone = how == "alone"
    (reading,) = read_wholes([crop], engines, orientation=[True]) if alone else read([crop], engines, orientation=True)
    assert reading.text.text == SENTENCE
    assert reading.text.model.startswith("crnn-en+ppocrv6-rec")
    assert 0 < sum(large.widths) < 0.7 * crop.image.shape[1]


def test_a_piece_that_is_not_read_well_sends_its_line_as_a_whole(
    watched: tuple[Engines, Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    engines, large = watched
    monkeypatch.setattr(recognize, "_LOST", 1.01)
    crop = whole(struck_out("invoice"))
    (reading,) = read([crop], engines, orientation=True)
    assert reading.text.text == SENTENCE
    assert len(large.widths) > 1
    assert large.widths[-1] == crop.image.shape[1]


def said(text: str, model: str) -> LineText:
    return LineText(text, 0.9, tuple(Char(c, n / 50, (n + 1) / 50, 0.8) for n, c in enumerate(text)), model)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("put the name", "put thename", "put the name"),  # the large recogniser dropped a space
        ("Allis well", "All is well", "All is well"),  # the small one did: that was its doubt
        ("put the name", "put the nane", "put the nane"),  # they do not agree
        ("put the name", "put the name", "put the name"),
        ("", "name", "name"),
    ],
)
def test_spaces_that_the_second_reader_dropped_come_back(first: str, second: str, kept: str) -> None:
    text = _with_spaces(said(second, "large"), said(first, "small"))
    assert text.text == "".join(c.char for c in text.chars) == kept
    assert text.model == ("small+large" if kept != second else "large")
