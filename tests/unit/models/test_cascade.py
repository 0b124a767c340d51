"""First readers: who is asked, and whose word stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ocrfarm_models.cascade import FirstReader, read_first, settled
from ocrfarm_models.ctc import LineText
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.registry import resolve

DrawLine = Callable[..., NDArray[np.uint8]]

CLEAR = "Total amount"


class Watched(Recognizer):
    """The real recogniser; it remembers how many lines it was asked for."""

    asked = 0

    def read(self, crops: Sequence[NDArray[np.uint8]], *, loose: bool = False, apart: bool = False) -> list[LineText]:
        self.asked += len(crops)
        return super().read(crops, loose=loose, apart=apart)


@pytest.fixture
def crnn() -> Watched:
    opened = Watched.open(resolve("crnn-en"))
    assert isinstance(opened, Watched)
    opened.asked = 0
    return opened


def upside_down(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[::-1, ::-1])


def test_what_is_certain_stays_and_the_rest_is_left(crnn: Watched, draw_line: DrawLine) -> None:
    readers = [FirstReader(crnn, 0.02)]
    clear = draw_line(CLEAR)
    crops = [upside_down(clear), clear, upside_down(draw_line("The quick brown fox"))]
    said = read_first(crops, readers)
    assert [settled(line, readers) for line in said] == [False, True, False]
    assert said[1].text == CLEAR
    assert said[1].model == "crnn-en"


def test_a_page_that_it_cannot_read_is_not_read_to_its_end(crnn: Watched, draw_line: DrawLine) -> None:
    readers = [FirstReader(crnn, 0.02)]
    head = [upside_down(draw_line(f"Page {n} of the annual report")) for n in range(30)]
    said = read_first(head, readers)
    assert crnn.asked == 8
    assert sum(line.model == "" for line in said) == 22
    assert not any(settled(line, readers) for line in said)


def test_pictures_that_have_nothing_to_do_with_each_other_are_all_read(crnn: Watched, draw_line: DrawLine) -> None:
    readers = [FirstReader(crnn, 0.02)]
    said = read_first([*[upside_down(draw_line(CLEAR))] * 10, draw_line(CLEAR)], readers, apart=True)
    assert crnn.asked == 11
    assert [settled(line, readers) for line in said] == [False] * 10 + [True]


def test_one_clear_line_in_eight_keeps_the_reader(crnn: Watched, draw_line: DrawLine) -> None:
    lines = [draw_line(CLEAR)] * 20
    readers = [FirstReader(crnn, 0.02)]
    assert all(settled(line, readers) for line in read_first(lines, readers))
    assert crnn.asked == 20


def test_the_next_reader_gets_what_the_first_left(crnn: Watched, draw_line: DrawLine) -> None:
    second = Watched(crnn.spec, crnn._session)
    readers = [FirstReader(crnn, 0.0), FirstReader(second, 0.02)]  # nobody is certain enough for the first
    lines = [draw_line(CLEAR), draw_line("12.50")]
    read_first(lines, readers)
    assert (crnn.asked, second.asked) == (2, 2)


def test_no_lines_and_no_readers() -> None:
    assert read_first([], []) == []
    (line,) = read_first([np.zeros((4, 4, 3), np.uint8)], [])
    assert not settled(line, [])
