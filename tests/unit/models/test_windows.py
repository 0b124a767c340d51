"""Windows over a long line: what they say, joined, is what the whole line says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ocrfarm_models import ctc
from ocrfarm_models.windows import Grid, join, pieces

BLANK = 0
CLASSES = ("", "a", "b", "c", "d")
STEPS = 40


def text(index: NDArray[np.int64]) -> str:
    return ctc.decode(index, np.ones(len(index), np.float32), CLASSES, blank=BLANK, model="m").text


def columns(marks: list[tuple[int, int]], length: int) -> NDArray[np.int64]:
    """A CTC path: each mark is (column, class), two columns wide where the next is blank."""
    path = np.zeros(length, np.int64)
    for place, kind in marks:
        path[place : place + 2] = kind
    return path


# Characters as (columns to the next one, class): 5 to 9 columns apart, now and then a gap; equal neighbours as likely as others.
STRIDES = st.tuples(st.one_of(st.integers(5, 9), st.integers(5, 30)), st.integers(1, 4))
SEEDS = st.integers(0, 2**32 - 1)
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def places(strides: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(column, class) of each character."""
    return [(1 + sum(step for step, _ in strides[:n]), kind) for n, (_, kind) in enumerate(strides)]


@patient
@given(st.lists(STRIDES, min_size=1, max_size=40), st.integers(14, 30), st.sampled_from([100, 200, 280]))
def test_exact_windows_say_what_the_whole_line_says(strides: list[tuple[int, int]], overlap: int, width: int) -> None:
    marks = places(strides)
    whole = columns(marks, marks[-1][0] + 4)
    grid = Grid(width, STEPS, overlap * width // STEPS)
    starts = grid.starts(round(len(whole) * width / STEPS))
    padded = np.concatenate((whole, np.zeros(STEPS, np.int64)))
    windows = [padded[s : s + STEPS] for s in starts]
    index, sure = join([(w, np.ones(STEPS, np.float32)) for w in windows], starts, BLANK)
    assert text(index) == text(whole)
    assert len(sure) == len(index) == starts[-1] + STEPS


@patient
@given(st.lists(STRIDES, min_size=1, max_size=40), SEEDS)
def test_windows_that_mark_a_character_a_column_apart_read_it_once(strides: list[tuple[int, int]], seed: int) -> None:
    """Each window marks a character up to a column early or late, and makes nonsense of what its edges cut."""
    rng = np.random.default_rng(seed)
    grid, marks = Grid(160, STEPS, 96), places(strides)
    whole = columns(marks, marks[-1][0] + 4)
    starts = grid.starts(len(whole) * 4)
    windows = []
    for start in starts:
        path = np.zeros(STEPS, np.int64)
        for place, kind in marks:
            moved = place - start + int(rng.integers(-1, 2))
            if 0 <= moved <= STEPS - 2:
                at_edge = (moved < 3 and start > 0) or (moved > STEPS - 5 and start < starts[-1])
                path[moved : moved + 2] = rng.integers(0, 5) if at_edge else kind
        windows.append((path, np.ones(STEPS, np.float32)))
    index, _ = join(windows, starts, BLANK)
    assert text(index) == text(whole)


@patient
@given(st.integers(1, 4000), st.integers(0, 150), st.sampled_from([(280, 70), (200, 48), (100, 24), (100, 26)]))
def test_windows_cover_the_line_and_overlap_as_asked(pixels: int, overlap: int, size: tuple[int, int]) -> None:
    width, steps = size
    grid = Grid(width, steps, min(overlap, width // 2))
    starts = grid.starts(pixels)
    assert starts[0] == 0
    assert grid.pixel(starts[-1]) + width >= min(pixels, grid.pixel(starts[-1]) + width)
    assert starts[-1] * width / steps + width >= pixels
    pace = width / steps
    for one, next_one in pairwise(starts):
        assert one < next_one
        assert one + steps - next_one >= grid.overlap / pace - 1  # rounded to whole columns
    line = np.zeros((8, pixels), np.uint8)
    views = pieces(line, starts, grid)
    assert all(0 < view.shape[1] <= width for view in views)
    assert all(view.shape[1] == width for view in views[:-1])


def test_windows_that_do_not_meet_are_an_error() -> None:
    one = np.zeros(10, np.int64), np.ones(10, np.float32)
    with pytest.raises(ValueError, match="does not meet"):
        join([one, one], [0, 11], BLANK)
