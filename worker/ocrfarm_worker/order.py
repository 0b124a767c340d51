"""Reading order: from regions that lie anywhere on a page to the sequence in which a person reads them.

A page is cut into horizontal strips where nothing is written; neighbouring strips that share gutters are columns and are read
column by column; all else is read row by row, left to right. It is the recursive XY-cut (Nagy and Seth, 1984, "Hierarchical
representation of optically scanned documents") with one rule added: a gutter counts only between columns of prose, so that the
rows of a receipt, a form or a table stay whole.

The order depends on the regions alone, not on the sequence in which a detector found them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Two regions are on one row where they overlap by this part of the lower one's height.
_SAME_ROW = 0.5
# A gutter is at least this wide, in heights of the usual line.
_GUTTER = 0.6
# Boxes are drawn a little wider than the letters: by this part of their height, rows may touch and still be apart.
_SLACK = 0.15
# Text that is wider than this part of its block leaves no room for a column beside it.
_WIDE = 0.6
# Columns of prose: so many lines, so long (in line heights), and so much of the column's width filled by the usual line.
_PROSE_LINES = 3
_PROSE_LENGTH = 7.0
_PROSE_FILL = 0.55


@dataclass(frozen=True)
class _Box:
    """A region's extent on the page turned upright; `index` is its place in the caller's list."""

    x0: float
    y0: float
    x1: float
    y1: float
    index: int

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def middle(self) -> float:
        return (self.y0 + self.y1) / 2


def reading_order(polygons: Sequence[ArrayLike]) -> list[int]:
    """Indices of `polygons` in reading order: each once.

    A polygon is (4, 2), in pixels, origin top left, its first corner the text's top left and its second the text's top right.
    """
    if not len(polygons):
        return []
    points = np.asarray(polygons, np.float64)
    slant = skew(points)
    turned = points @ _turn(-slant).T if slant else points
    low, high = turned.min(axis=1), turned.max(axis=1)
    boxes = [
        _Box(float(x0), float(y0), float(x1), float(y1), index)
        for index, ((x0, y0), (x1, y1)) in enumerate(zip(low, high, strict=True))
    ]
    # Sorted by the corners themselves: the caller's sequence must not show where boxes tie.
    boxes.sort(key=lambda b: (b.y0, b.x0, b.y1, b.x1, points[b.index].ravel().tolist()))
    return [box.index for row in _blocks(boxes) for box in row]


def skew(polygons: NDArray[np.float64]) -> float:
    """The usual slant of the text in radians, clockwise positive, by the long regions' upper edges; 0 where they disagree.

    `polygons` is (N, 4, 2), in pixels.
    """
    edges = polygons[:, 1] - polygons[:, 0]
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    heights = np.hypot(*(polygons[:, 3] - polygons[:, 0]).T)
    long = lengths > 4 * np.maximum(heights, 1)
    if int(long.sum()) < 3:
        return 0.0
    angles = np.arctan2(edges[long, 1], edges[long, 0])
    usual = float(np.median(angles))
    spread = float(np.median(np.abs(angles - usual)))
    return usual if abs(usual) < math.radians(20) and spread < math.radians(2) else 0.0


def _turn(angle: float) -> NDArray[np.float64]:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _blocks(boxes: list[_Box]) -> list[list[_Box]]:
    """The rows of all boxes in reading order."""
    strips = _strips(boxes)
    extent = max(b.x1 for b in boxes) - min(b.x0 for b in boxes)
    rows: list[list[_Box]] = []
    at = 0
    while at < len(strips):
        columns, end = _columns(strips, at, extent)
        if columns:
            for column in columns:
                rows.extend(_blocks(column))
        else:
            for strip in strips[at:end]:
                rows.extend(_rows(strip))
        at = end
    return rows


def _strips(boxes: list[_Box]) -> list[list[_Box]]:
    """Boxes parted where a horizontal line crosses none of them, from top to bottom."""
    strips: list[list[_Box]] = []
    bottom = -math.inf
    for box in sorted(boxes, key=lambda b: (b.y0 + _SLACK * b.height, b.x0, b.y1, b.x1)):
        if box.y0 + _SLACK * box.height >= bottom:
            strips.append([])
        strips[-1].append(box)
        bottom = max(bottom, box.y1 - _SLACK * box.height)
    return strips


def _columns(strips: list[list[_Box]], start: int, extent: float) -> tuple[list[list[_Box]], int]:
    """The two columns of prose that begin at strip `start`, left before right, and the strip after their end.

    Without such columns: none, and the strip up to which to read row by row. `extent` is the width of all the strips.
    """
    run: list[_Box] = []
    free: list[tuple[float, float]] = [(-math.inf, math.inf)]  # what no box of the run covers, from left to right
    end = start
    while end < len(strips):
        wider = run + strips[end]
        left = _uncovered(free, strips[end], _GUTTER * float(np.median([b.height for b in wider])))
        # No gutter is left, and none can appear beside text that is already as wide as this.
        if len(left) == 2 and (len(free) > 2 or left[1][0] - left[0][1] > _WIDE * extent):
            break
        run, free, end = wider, left, end + 1
    for gutter, _ in free[1:-1]:
        sides = [[b for b in run if b.x1 <= gutter], [b for b in run if b.x1 > gutter]]
        if all(_is_prose(side) for side in sides):
            return sides, end
    # A long run without prose is a table: go on by a part of it, so that a long table does not cost its square.
    return [], start + max(1, (end - start) // 4)


def _uncovered(free: list[tuple[float, float]], boxes: list[_Box], gutter: float) -> list[tuple[float, float]]:
    """The parts of `free` (spans on the x axis) that no box covers and that are as wide as a gutter."""
    for box in boxes:
        parts: list[tuple[float, float]] = []
        for low, high in free:
            if box.x1 <= low or box.x0 >= high:
                parts.append((low, high))
            else:
                parts.extend((a, b) for a, b in ((low, box.x0), (box.x1, high)) if b - a >= gutter)
        free = parts
    return free


def _is_prose(column: list[_Box]) -> bool:
    """Whether the lines are long and fill the column: text that runs on, not the cells of a table."""
    rows = _rows(column)
    if len(rows) < _PROSE_LINES:
        return False
    height = float(np.median([box.height for box in column]))
    extent = max(box.x1 for box in column) - min(box.x0 for box in column)
    length = float(np.median([box.width for box in column]))
    filled = float(np.median([sum(box.width for box in row) for row in rows]))
    return length >= _PROSE_LENGTH * height and filled >= _PROSE_FILL * extent


def _rows(boxes: list[_Box]) -> list[list[_Box]]:
    """Boxes gathered into rows, from top to bottom, each from left to right."""
    rows: list[list[_Box]] = []
    for box in sorted(boxes, key=lambda b: (b.middle, b.x0, b.y0, b.y1, b.x1)):
        row = rows[-1] if rows else None
        if row is not None and _on_row(box, row):
            row.append(box)
        else:
            rows.append([box])
    for row in rows:
        row.sort(key=lambda b: (b.x0, b.y0, b.x1, b.y1))
    return rows


def _on_row(box: _Box, row: list[_Box]) -> bool:
    """Whether the box overlaps the row's usual height by half, and stands beside, not above, what is there."""
    top = float(np.median([other.y0 for other in row]))
    bottom = float(np.median([other.y1 for other in row]))
    overlap = min(box.y1, bottom) - max(box.y0, top)
    return overlap >= _SAME_ROW * max(min(box.height, bottom - top), 1e-9)
