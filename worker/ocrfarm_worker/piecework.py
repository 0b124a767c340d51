"""Lines of which a few words are doubtful: those are cut out, for the large recogniser to read, and put back.

A long line is rarely doubtful from end to end. What the large recogniser is given costs by its width, so that it gets the doubtful words
alone. A line is cut where there is paper between two words: the small recogniser knows a space to a few columns, the ink knows it better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.ctc import Char, LineText
from ocrfarm_models.line_image import inked
from ocrfarm_worker.crop import Crop, Pixels, part

# Rows that are looked at: above and below them, neighbouring lines reach into a crop.
_ROWS = (0.2, 0.85)
_LOOKED_AT = 64
# Paper, specks allowed for, is a column with no more ink than this share of its rows; between two words there are so many side by side,
# as a share of the height. Where a gap is blurred, a cut would take a stroke along.
_PAPER, _LEAST = 0.07, 0.08
# A space is missing beside a letter that is often a word by itself, at the start or the end of a word (`Agood`), where the paper there is
# so wide: as a share of the height, of what lies between the line's letters in the middle, and of its narrowest space.
_ALONE = "AaIÀà"
_APART, _THAN_LETTERS, _THAN_SPACES = 0.1, 2.0, 0.6
# What the large recogniser is given is so many times as wide as high at least: it reads a lone sign worse than one in company.
_COMPANY = 3.0
# Two pieces that are no further apart than this many heights are one.
_NEAR = 1.5
# Where the pieces are more of the line than this, the line is read as a whole.
_MOST = 0.7


@dataclass(frozen=True)
class Piece:
    """Words `first` to `last` (numbers of `LineText.parts`, `last` not among them) and the columns of the crop that they lie in."""

    first: int
    last: int
    left: int
    right: int


def pieces(image: Pixels, line: LineText, doubtful: Sequence[bool]) -> list[Piece]:
    """What to cut out of a crop (uint8, HxWx3 BGR), from left to right; nothing where the line is better read as a whole."""
    if not any(doubtful) or all(doubtful):
        return []
    height, width = image.shape[:2]
    edges = [0, *_cuts(image, line), width]
    found: list[Piece] = []
    for number, bad in enumerate(doubtful):
        if not bad or (found and number < found[-1].last):
            continue
        first, last = _grown(number, edges, _COMPANY * height)
        piece = Piece(first, last, edges[first] or 0, edges[last] or 0)
        while found and (piece.first <= found[-1].last or piece.left - found[-1].right < _NEAR * height):
            before = found.pop()
            piece = Piece(
                min(before.first, piece.first),
                max(before.last, piece.last),
                min(before.left, piece.left),
                max(before.right, piece.right),
            )
        found.append(piece)
    return found if sum(p.right - p.left for p in found) < _MOST * width else []


def _grown(number: int, edges: Sequence[int | None], wide: float) -> tuple[int, int]:
    """The words around one, first and one after the last, between two cuts that are `wide` columns apart if the line has them."""
    first, last = number, number + 1
    while True:
        while edges[first] is None:
            first -= 1
        while edges[last] is None:
            last += 1
        if (edges[last] or 0) - (edges[first] or 0) >= wide or (first == 0 and last == len(edges) - 1):
            return first, last
        if last < len(edges) - 1:
            last += 1
        else:
            first -= 1


def _cuts(image: Pixels, line: LineText) -> list[int | None]:
    """The column to cut at between each two words; None where there is no paper between them."""
    ink = _ink(image)
    wide = len(ink)
    least = max(2.0, _LEAST * image.shape[0])
    out: list[int | None] = []
    for a, b in zip(line.parts, line.parts[1:], strict=False):
        before, after = line.chars[a.end - 1], line.chars[b.start]
        low = int((before.x_start + before.x_end) / 2 * wide)
        high = int((after.x_start + after.x_end) / 2 * wide)
        out.append(_widest(ink[low:high], low, least))
    return out


def lacks_a_space(image: Pixels, line: LineText) -> bool:
    """Whether paper says so that lies beside a lone letter.

    A recogniser that learnt words more than lines is sure of `Agood`: certainty does not see it.
    """
    chars = line.chars
    alone = {n for n, char in enumerate(chars) if char.char in _ALONE}
    starts = {n for n in alone if n == 0 or chars[n - 1].char.isspace()}
    ends = {n for n in alone if n + 1 == len(chars) or chars[n + 1].char.isspace()}
    if not starts and not ends:
        return False
    ink = _ink(image)
    middles = [int((c.x_start + c.x_end) / 2 * len(ink)) for c in chars]
    letters, spaces, beside = [], [], []
    for n in range(len(chars) - 1):
        if chars[n].char.isspace():
            continue
        if chars[n + 1].char.isspace():
            if n + 2 < len(chars):
                spaces.append(_paper(ink[middles[n] : middles[n + 2] + 1]))
            continue
        letters.append(_paper(ink[middles[n] : middles[n + 1] + 1]))
        if n in starts or n + 1 in ends:
            beside.append(letters[-1])
    widest = max(beside, default=0)
    least = max(_APART * image.shape[0], _THAN_LETTERS * max(float(np.median(letters)), 1.0)) if letters else 0.0
    return widest > 0 and widest >= max(least, _THAN_SPACES * min(spaces, default=0))


def _paper(ink: NDArray[np.float64]) -> int:
    """Columns of the widest gap."""
    gap = _gap(ink)
    return gap[1] - gap[0] if gap else 0


def _ink(image: Pixels) -> NDArray[np.float64]:
    """Share 0..1 of ink in each column, of no more than `_LOOKED_AT` rows."""
    top, bottom = (int(share * image.shape[0]) for share in _ROWS)
    rows = image[top : max(bottom, top + 1) : max(1, (bottom - top) // _LOOKED_AT)]
    return np.asarray(inked(rows, by_row=True).mean(axis=0))


def _widest(ink: NDArray[np.float64], offset: int, least: float) -> int | None:
    """The middle of the widest gap, if it is that wide."""
    gap = _gap(ink)
    return offset + (gap[0] + gap[1]) // 2 if gap and gap[1] - gap[0] >= least else None


def _gap(ink: NDArray[np.float64]) -> tuple[int, int] | None:
    """The widest gap: its first column, and the one after its last."""
    paper = np.concatenate(([False], ink <= _PAPER, [False]))
    turns = np.flatnonzero(paper[1:] != paper[:-1]).reshape(-1, 2)
    if not len(turns):
        return None
    first, last = turns[np.argmax(turns[:, 1] - turns[:, 0])]
    return int(first), int(last)


def cut_out(crop: Crop, piece: Piece) -> Crop:
    """The piece as a crop of its own."""
    width = crop.image.shape[1]
    corners = np.array(part(crop.corners, piece.left / width, piece.right / width), np.float32)
    return replace(crop, image=crop.image[:, piece.left : piece.right], corners=corners)


def words_of(line: LineText, piece: Piece) -> LineText:
    """What the line says in the piece."""
    chars = line.chars[line.parts[piece.first].start : line.parts[piece.last - 1].end]
    return _text(chars, line.model)


def put_back(line: LineText, width: int, read: Sequence[tuple[Piece, LineText]]) -> LineText:
    """The line with what was read in its pieces, from left to right; `width` is the crop's. `model` names all who read, joined by "+"."""
    chars: list[Char] = []
    models = [line.model]
    at = 0
    for piece, text in read:
        chars += line.chars[at : line.parts[piece.first].start]
        left, share = piece.left / width, (piece.right - piece.left) / width
        chars += [
            replace(c, x_start=left + share * c.x_start, x_end=left + share * c.x_end) for c in _stripped(text.chars)
        ]
        at = line.parts[piece.last - 1].end
        models += [name for name in text.model.split("+") if name not in models]
    return _text((*chars, *line.chars[at:]), "+".join(models))


def _stripped(chars: Sequence[Char]) -> Sequence[Char]:
    """Without white space at both ends."""
    solid = [n for n, char in enumerate(chars) if not char.char.isspace()]
    return chars[solid[0] : solid[-1] + 1] if solid else ()


def _text(chars: Sequence[Char], model: str) -> LineText:
    sure = sum(c.confidence for c in chars) / len(chars) if chars else 0.0
    return LineText("".join(c.char for c in chars), sure, tuple(chars), model)
