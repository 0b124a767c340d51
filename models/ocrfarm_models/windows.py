"""Lines that are longer than a fixed-width model takes, read through windows that overlap, and joined by CTC columns.

A model of `width` pixels gives `steps` columns. Windows begin at whole columns, so that all windows lie on one grid: column i of a window
that begins at column s is column s + i of the line. Two neighbours both read the columns that they share; the left one reads badly near
its right edge, the right one near its left. So the line is cut near the middle of what they share: the left window says what stands
before the cut, the right one what stands after it.

A CTC model marks a character in a column or two, and two windows need not mark it in the same one. A cut between both marks would read
the character twice, or not at all. So the cut is where both windows say blank, and agree on the characters next to it on either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.ctc import runs

Index = NDArray[np.int64]
Confidence = NDArray[np.float32]

# Columns by which two windows' marks of one character may differ.
_SAME_PLACE = 1.5
# Marks that are so many columns from a cut are safe from it.
_REACH = 5


@dataclass(frozen=True)
class Grid:
    """A fixed-width model's columns: `width` pixels in, `steps` columns out, `overlap` pixels shared by two windows."""

    width: int
    steps: int
    overlap: int

    def starts(self, pixels: int) -> list[int]:
        """First column of each window over a line of `pixels` pixels: evenly laid, the last one ends at or after the line's end."""
        if pixels <= self.width:
            return [0]
        pace = self.width / self.steps  # pixels a column
        last = int(np.ceil((pixels - self.width) / pace))
        stride = max(1, int((self.width - self.overlap) / pace))
        count = -(-last // stride) + 1
        return [round(last * n / (count - 1)) for n in range(count)]

    def pixel(self, column: int) -> int:
        """Where a column begins."""
        return round(column * self.width / self.steps)


def pieces(line: NDArray[np.uint8], starts: Sequence[int], grid: Grid) -> list[NDArray[np.uint8]]:
    """The line (height, pixels, ...) as one picture a window, the last one perhaps narrower; views of the line."""
    return [line[:, grid.pixel(start) : grid.pixel(start) + grid.width] for start in starts]


def join(readings: Sequence[tuple[Index, Confidence]], starts: Sequence[int], blank: int) -> tuple[Index, Confidence]:
    """The columns of the whole line, int64 (T,) and float32 (T,), from those of its windows, each (steps,) at its start column.

    Raises ValueError where two neighbouring windows do not meet.
    """
    index, sure = readings[0]
    for (next_index, next_sure), start in zip(readings[1:], starts[1:], strict=True):
        shared = len(index) - start
        if shared < 0:
            raise ValueError(f"a window that begins at column {start} does not meet the {len(index)} columns before it")
        cut = _cut(index[start:], next_index[:shared], blank)
        index = np.concatenate((index[: start + cut], next_index[cut:]))
        sure = np.concatenate((sure[: start + cut], next_sure[cut:]))
    return index, sure


def _cut(left: Index, right: Index, blank: int) -> int:
    """How many of the shared columns are the left window's; both have the same length."""
    length = len(left)
    ours, theirs = _marks(left, blank), _marks(right, blank)
    middle = length / 2

    def badness(cut: int) -> float:
        split = cut > 0 and left[cut - 1] != blank and (cut == length or right[cut] == left[cut - 1])
        torn = int(cut > 0 and left[cut - 1] != blank) + int(cut < length and right[cut] != blank)
        before = _risk(_last(ours, cut), _last(theirs, cut), cut)
        after = _risk(_first(ours, cut), _first(theirs, cut), cut)
        return 2 * (before + after) + (0 if split else torn) + 2 * abs(cut - middle) / max(length, 1)

    return min(range(length + 1), key=badness)


Mark = tuple[int, float]  # class, middle of its run of columns


def _marks(index: Index, blank: int) -> list[Mark]:
    """Runs of one class other than blank."""
    if not len(index):
        return []
    starts, ends = runs(index)
    return [
        (int(index[a]), (a + b - 1) / 2)
        for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
        if index[a] != blank
    ]


def _last(marks: list[Mark], cut: int) -> Mark | None:
    return next((mark for mark in reversed(marks) if mark[1] < cut), None)


def _first(marks: list[Mark], cut: int) -> Mark | None:
    return next((mark for mark in marks if mark[1] >= cut), None)


def _risk(ours: Mark | None, theirs: Mark | None, cut: int) -> float:
    """How likely a character beside the cut is lost or read twice, 0..1, by the nearest marks on one side of it.

    Nothing where both windows mark the same character in the same place; less the further away the marks are.
    """
    near = min((abs(mark[1] - cut) for mark in (ours, theirs) if mark), default=float(_REACH))
    if near >= _REACH:
        return 0.0
    if ours is None or theirs is None or ours[0] != theirs[0]:
        disagree = 1.0
    else:
        apart = abs(ours[1] - theirs[1])
        disagree = 0.0 if apart <= _SAME_PLACE else min(1.0, apart / (4 * _SAME_PLACE))
    return disagree * (1 - near / _REACH)
