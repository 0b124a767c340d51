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
from ocrfarm_worker.recognize import _agree, _with_spaces, read, read_wholes


class Watched(Recognizer):
    """The real recogniser; it remembers the widths of what it was given."""

    widths: list[int]

    def read(self, crops: Sequence[NDArray[np.uint8]], *, loose: bool = False, apart: bool = False) -> list[LineText]:
        if hasattr(self, "widths"):
            self.widths += [crop.shape[1] for crop in crops]
        return super().read(crops, loose=loose, apart=apart)


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
        ("Agood page", "A goodpage", "A good page"),  # each dropped one
        ("Agood page of the", "A good pageofthe", "A good page of the"),
        ("", "name", "name"),
    ],
)
def test_spaces_that_the_second_reader_dropped_come_back(first: str, second: str, kept: str) -> None:
    text = _with_spaces(said(second, "large"), said(first, "small"))
    assert text.text == "".join(c.char for c in text.chars) == kept
    assert text.model == "large"
    assert text.confidence == (pytest.approx(0.8) if kept != second else 0.9)
    assert [c.x_start for c in text.chars] == sorted(c.x_start for c in text.chars) or kept != second


@pytest.mark.parametrize(
    ("first", "second", "do"),
    [
        ("put the name", "put thename", True),
        ("put thename", "put the name", False),
        ("Agood page", "A goodpage", False),  # as many spaces, elsewhere
        ("put the name", "put the nane", False),
        ("", "", False),
    ],
)
def test_readers_agree_but_for_spaces_that_the_second_dropped(first: str, second: str, do: bool) -> None:
    assert _agree(said(second, "large"), said(first, "small")) is do


def test_a_line_that_lacks_a_space_is_read_as_a_whole(
    watched: tuple[Engines, Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a word of it is doubtful too, which alone would be cut out."""
    engines, large = watched
    crop = whole(struck_out("invoice"))
    monkeypatch.setattr(recognize, "lacks_a_space", lambda *_: True)
    (reading,) = read([crop], engines, orientation=True)
    assert large.widths == [crop.image.shape[1]]
    assert reading.text.text == SENTENCE


def test_a_lone_letter_is_stood_up_among_lines_that_are_settled(watched: tuple[Engines, Watched]) -> None:
    """What its page's lines run like is asked of all of them, not of those that are left to the large recogniser."""
    engines, large = watched
    image, _ = drawn(SENTENCE)
    stub = np.full((60, 24, 3), 255, np.uint8)
    stub[10:50, 10:14] = 0  # a 1
    lying = whole(np.ascontiguousarray(np.rot90(stub)))
    lying = dataclasses.replace(lying, tall=True)
    read([*[whole(image)] * 3, lying], engines, orientation=True)
    assert 60 in large.widths  # as it lay
    assert 24 in large.widths  # and upright
