"""The words of a page as invisible text (PDF's text rendering mode 3), each over its own box, however it leans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import hypot
from typing import Any

from ocrfarm_worker.export.glyphless import Glyphless

Point = tuple[float, float]
# A page's lines as the parent says them: lines of words, a word its text and its corners in pixels, in reading direction from the top left.
Lines = Sequence[Sequence[tuple[str, Sequence[Point]]]]

FONT = "/OcrFarm"
_LEAST = 0.01  # points


def text_layer(
    lines: Lines,
    place: Callable[[float, float], Point],
    font: Glyphless,
    name: str = FONT,
    said: Callable[[Sequence[Point]], bool] | None = None,
) -> bytes:
    """A content stream for the page, empty where there is nothing to write. `place` takes pixels of the page to its user space.

    `name`: of the font in the page's resources. `said` tells of a word's corners in user space whether the page has text of its own there:
    then the word is left out.
    """
    written = [row for row in (_line(line, place, font, name, said) for line in lines) if row]
    if not written:
        return b""
    return ("q\nBT\n3 Tr\n" + "".join(written) + "ET\nQ\n").encode("ascii")


def _line(line: Any, place: Callable[[float, float], Point], font: Glyphless, name: str, said: Any) -> str:
    placed = []
    for text, polygon in line:
        corners = [place(x, y) for x, y in polygon]
        if text and not (said and said(corners)):
            placed.append((text, corners))
    out = []
    for number, (text, (top_left, _, right, left)) in enumerate(placed):
        width, height = (
            hypot(right[0] - left[0], right[1] - left[1]),
            hypot(top_left[0] - left[0], top_left[1] - left[1]),
        )
        if width < _LEAST or height < _LEAST:
            continue
        cos, sin = (right[0] - left[0]) / width, (right[1] - left[1]) / width
        stretch = 100_000 * width / (font.width(text) * height)
        out.append(
            f"{cos:.5f} {sin:.5f} {-sin:.5f} {cos:.5f} {left[0]:.3f} {left[1]:.3f} Tm\n"
            f"{name} {height:.3f} Tf\n{stretch:.3f} Tz\n<{font.codes(text)}> Tj\n"
        )
        if number + 1 < len(placed):  # a space from here to the next word, so that nobody has to guess it from the gap
            following = placed[number + 1][1][3]
            gap = (following[0] - right[0]) * cos + (following[1] - right[1]) * sin
            if gap > _LEAST:
                out.append(f"{100_000 * gap / (font.width(' ') * height):.3f} Tz\n<{font.codes(' ')}> Tj\n")
    return "".join(out)
