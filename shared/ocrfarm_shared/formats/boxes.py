"""Where things are on a page: boxes, rows and paragraphs, worked out from the polygons of the lines alone.

All of it happens on the page turned upright (`Page.rotation` undone), so that a sideways page groups like any other; the boxes that are
written out are those of the page as it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from statistics import median

from ocrfarm_shared.contracts import Line, Page, Polygon, Word

# Two lines are on one row where they share this part of the lower one's height.
_SAME_ROW = 0.5
# The next line belongs to the paragraph above it where the gap is at most this part of the usual height of the two.
_PARAGRAPH_GAP = 0.8
# ... and where neither is taller than the other by more than this: a heading is a paragraph of its own.
_HEIGHTS = 1.4


@dataclass(frozen=True)
class Box:
    """Edges in pixels, origin top left, `x1` and `y1` outside."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    def whole(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in whole pixels: the smallest box of those that holds this one."""
        return floor(self.x0), floor(self.y0), ceil(self.x1), ceil(self.y1)


@dataclass(frozen=True)
class Placed:
    """A line, and its box on the upright page."""

    line: Line
    upright: Box


def box_of(polygon: Polygon) -> Box:
    xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
    return Box(min(xs), min(ys), max(xs), max(ys))


def sides(box: Box) -> tuple[int, int, int, int]:
    """Left, top, width, height in whole pixels."""
    left, top, right, bottom = box.whole()
    return left, top, right - left, bottom - top


def words(line: Line) -> Sequence[Word]:
    """The line's words; a line without any (a reader that tells none apart) is one word."""
    return line.words or [Word(text=line.text, confidence=line.confidence, polygon=line.polygon)]


def box_around(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds them all; at least one is needed."""
    all_of = list(boxes)
    return Box(
        min(b.x0 for b in all_of), min(b.y0 for b in all_of), max(b.x1 for b in all_of), max(b.y1 for b in all_of)
    )


def upright(page: Page) -> list[Placed]:
    """The page's lines in reading order, each with its box on the page turned by `page.rotation` clockwise."""
    turn: Callable[[float, float], tuple[float, float]] = {
        0: lambda x, y: (x, y),
        90: lambda x, y: (page.height - y, x),
        180: lambda x, y: (page.width - x, page.height - y),
        270: lambda x, y: (y, page.width - x),
    }[page.rotation]
    return [Placed(line, box_of([turn(x, y) for x, y in line.polygon])) for line in page.lines]


def paragraphs(page: Page) -> list[list[Line]]:
    """The lines in reading order, cut where a new paragraph begins: a gap, another size of print, another column."""
    found: list[list[Line]] = []
    before: Placed | None = None
    for placed in upright(page):
        if before and _goes_on(before.upright, placed.upright):
            found[-1].append(placed.line)
        else:
            found.append([placed.line])
        before = placed
    return found


def rows(placed: Sequence[Placed]) -> list[list[Placed]]:
    """Lines in reading order as rows, each from left to right: those that stand beside each other share one."""
    found: list[list[Placed]] = []
    for one in placed:
        if found and all(_beside(other.upright, one.upright) for other in found[-1]):
            found[-1].append(one)
        else:
            found.append([one])
    return [sorted(row, key=lambda one: one.upright.x0) for row in found]


def _overlap(a0: float, a1: float, b0: float, b1: float) -> float:
    return min(a1, b1) - max(a0, b0)


def _beside(a: Box, b: Box) -> bool:
    return _overlap(a.y0, a.y1, b.y0, b.y1) >= _SAME_ROW * min(a.height, b.height) and _overlap(
        a.x0, a.x1, b.x0, b.x1
    ) <= _SAME_ROW * min(a.height, b.height)


def _goes_on(above: Box, below: Box) -> bool:
    if _beside(above, below):
        return True
    low, high = sorted((above.height, below.height))
    return (
        high <= _HEIGHTS * low
        and below.y0 - above.y1 <= _PARAGRAPH_GAP * median((low, high))
        and below.y1 > above.y1
        and _overlap(above.x0, above.x1, below.x0, below.x1) > 0
    )
