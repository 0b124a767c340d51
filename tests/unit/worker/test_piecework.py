"""Doubtful words cut out of a line and put back."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ocrfarm_models.certain_lines import spans
from ocrfarm_models.ctc import Char, LineText, Part
from ocrfarm_worker.crop import whole
from ocrfarm_worker.piecework import Piece, cut_out, lacks_a_space, pieces, put_back, words_of

FONT = ImageFont.load_default(32)
MARGIN = 6


def drawn(text: str) -> tuple[NDArray[np.uint8], LineText]:
    """A line of print, uint8 HxWx3 BGR, and what a recogniser says that reads it right."""
    edges = [MARGIN + FONT.getlength(text[:n]) for n in range(len(text) + 1)]
    width = int(edges[-1]) + MARGIN
    image = Image.new("RGB", (width, 44), "white")
    ImageDraw.Draw(image).text((MARGIN, MARGIN - 4), text, "black", FONT)
    chars = tuple(Char(c, a / width, b / width, 0.9) for c, a, b in zip(text, edges, edges[1:], strict=False))
    line = LineText(text, 0.9, chars, "small")
    parts = tuple(Part(a, b, 0.9) for a, b in spans(line))
    return np.asarray(image)[:, :, ::-1].copy(), dataclasses.replace(line, parts=parts)


SENTENCE = "We have received the amount of your last invoice with many thanks"


def doubts(line: LineText, *words: str) -> list[bool]:
    return [line.text[part.start : part.end] in words for part in line.parts]


def test_a_doubtful_word_is_cut_out_between_letters() -> None:
    image, line = drawn(SENTENCE)
    (piece,) = pieces(image, line, doubts(line, "invoice"))
    assert words_of(line, piece).text == "invoice with"  # it has company
    cut = cut_out(whole(image), piece)
    assert cut.image.shape == (44, piece.right - piece.left, 3)
    assert (cut.image[:, [0, -1]] == 255).all()  # no letter was cut through
    assert cut.corners[0].tolist() == pytest.approx([piece.left, 0], abs=0.1)
    assert cut.corners[2].tolist() == pytest.approx([piece.right, 44], abs=0.1)


@pytest.mark.parametrize("word", ["We", "thanks"])
def test_the_first_and_the_last_word_too(word: str) -> None:
    image, line = drawn(SENTENCE)
    (piece,) = pieces(image, line, doubts(line, word))
    assert word in words_of(line, piece).text
    assert piece.left == 0 or piece.right == image.shape[1]


def test_words_far_apart_are_two_pieces_and_near_ones_are_one() -> None:
    image, line = drawn(SENTENCE)
    assert len(pieces(image, line, doubts(line, "have", "invoice"))) == 2
    assert len(pieces(image, line, doubts(line, "invoice", "many"))) == 1


def test_a_line_is_read_whole_where_most_of_it_or_all_or_none_is_doubtful() -> None:
    image, line = drawn(SENTENCE)
    count = len(line.parts)
    assert pieces(image, line, [True] * count) == []
    assert pieces(image, line, [False] * count) == []
    assert pieces(image, line, [n % 2 == 0 for n in range(count)]) == []


def test_where_letters_bridge_the_gap_words_stay_together() -> None:
    image, line = drawn(SENTENCE)
    at = SENTENCE.index("last")
    left, right = (int(line.chars[n].x_start * image.shape[1]) for n in (at - 4, at + 2))
    image[24:30, left:right] = 0  # a stroke of the pen through the gap before "last": no paper is left there
    image[8:38, left:right:2] = 0
    (piece,) = pieces(image, line, doubts(line, "last"))
    assert words_of(line, piece).text.startswith("your last")


def test_a_rule_under_the_line_is_no_ink() -> None:
    image, line = drawn(SENTENCE)
    image[36] = 0
    (piece,) = pieces(image, line, doubts(line, "received"))
    assert words_of(line, piece).text == "received the"


@settings(deadline=None, max_examples=80)
@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_pieces_cover_every_doubtful_word_once_and_in_order(bad: list[bool]) -> None:
    image, line = drawn(SENTENCE)
    found = pieces(image, line, bad)
    covered = [n for piece in found for n in range(piece.first, piece.last)]
    assert covered == sorted(set(covered))
    assert not found or {n for n, doubt in enumerate(bad) if doubt} <= set(covered)
    assert all(0 <= p.left < p.right <= image.shape[1] for p in found)
    assert all(a.right < b.left for a, b in itertools.pairwise(found))
    # Read as before, the line is as before.
    again = put_back(line, image.shape[1], [(p, words_of(line, p)) for p in found])
    assert again.text == line.text


def test_what_was_read_lies_where_it_was_cut_out() -> None:
    image, line = drawn(SENTENCE)
    width = image.shape[1]
    piece = Piece(8, 9, 500, 700)
    read = LineText(" INVOICE ", 0.5, tuple(Char(c, n / 9, (n + 1) / 9, 0.5) for n, c in enumerate(" INVOICE ")), "big")
    mended = put_back(line, width, [(piece, read)])
    assert mended.text == SENTENCE.replace("invoice", "INVOICE")
    assert mended.model == "small+big"
    assert mended.certainty is None
    word = next(word for word in mended.words if word.text == "INVOICE")
    assert (word.x_start * width, word.x_end * width) == pytest.approx((500 + 200 / 9, 700 - 200 / 9))
    assert mended.confidence == pytest.approx((0.9 * (len(SENTENCE) - 7) + 0.5 * 7) / len(SENTENCE))


def test_readers_are_named_once_each_in_the_order_that_they_read() -> None:
    image, line = drawn(SENTENCE)
    big, bigger = (dataclasses.replace(words_of(line, Piece(0, 1, 0, 60)), model=m) for m in ("big", "bigger"))
    read = [(Piece(0, 1, 0, 60), big), (Piece(4, 5, 300, 400), bigger), (Piece(8, 9, 500, 700), big)]
    assert put_back(line, image.shape[1], read).model == "small+big+bigger"


@pytest.mark.parametrize("text", ["A good page after the bombs", "Here is what I saw in a dream"])
@pytest.mark.parametrize("alone", ["A", "I", "a"])
def test_a_space_that_was_not_read_beside_a_lone_letter_is_seen(text: str, alone: str) -> None:
    image, line = drawn(text)
    assert not lacks_a_space(image, line)
    for n, char in enumerate(text):
        if char == " " and (text[:n].split(" ")[-1] == alone or text[n + 1 :].split(" ")[0] == alone):
            assert lacks_a_space(image, LineText(text, 0.9, line.chars[:n] + line.chars[n + 1 :], "small")), text[:n]


def test_paper_without_letters_lacks_nothing() -> None:
    image, line = drawn("A")
    assert not lacks_a_space(image, line)
    assert not lacks_a_space(image, LineText("", 0.0, (), "small"))
