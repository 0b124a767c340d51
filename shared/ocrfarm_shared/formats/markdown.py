"""Markdown (CommonMark, with GitHub's tables): paragraphs, and tables where rows and columns are clear."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import median

from ocrfarm_shared.contracts import Page
from ocrfarm_shared.formats.boxes import Box, Placed, paragraphs, rows, upright

# Fewer rows than this that happen to have cells beneath each other are no table.
_TABLE_ROWS = 3
# A heading's print is at least this much taller than the page's usual line, and a heading is at most so long.
_HEADING, _HEADING_LENGTH = 1.45, 80
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&])")
_AT_START = re.compile(r"^(#{1,6}|[-+=]+)(?=\s|$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
# Lines shorter than this, in their heights, do not run on into the next: addresses, mastheads.
_RUNNING = 12
_ITEM = re.compile(
    r"\d{1,3}[.)、．](?!\d)|[一二三四五六七八九十]{1,3}[、.．]|[(（][一二三四五六七八九十\d]{1,3}[)）]|[-–•·*]\s"
)
# Scripts that are written without spaces: kana, bopomofo, Han, full-width forms.
_SOLID = re.compile(r"[\u3000-\u30ff\u3100-\u312f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")


def markdown(pages: Iterable[Page]) -> Iterator[str]:
    """Pieces of the file, a rule between pages. A page that could not be read says so: an empty one would be a lie."""
    for number, page in enumerate(pages):
        if number:
            yield "\n---\n\n"
        if page.error:
            yield f"*Page {page.number} could not be read: {_escape(page.error.message)}*\n"
        else:
            yield "\n\n".join(_blocks(page)) + ("\n" if page.lines else "")


def _blocks(page: Page) -> Iterator[str]:
    """Tables and paragraphs in reading order."""
    placed = upright(page)
    usual = median(one.upright.height for one in placed) if placed else 0.0
    waiting: list[Placed] = []
    all_rows = rows(placed)
    at = 0
    while at < len(all_rows):
        columns, length = _table(all_rows, at)
        if length:
            yield from _prose(page, waiting, usual)
            waiting = []
            yield _written(all_rows[at : at + length], columns)
            at += length
        else:
            waiting += all_rows[at]
            at += 1
    yield from _prose(page, waiting, usual)


def _table(all_rows: Sequence[Sequence[Placed]], start: int) -> tuple[list[tuple[float, float]], int]:
    """The columns (left and right edge) and the number of rows of the table that begins here; no rows: none does.

    A table goes on while each row has two cells or more and each cell lies in one column alone, a new column or one that is there.
    """
    columns: list[tuple[float, float]] = []
    end = start
    while end < len(all_rows) and len(all_rows[end]) > 1:
        merged = _merge(columns, [one.upright for one in all_rows[end]])
        if merged is None:
            break
        columns = merged
        end += 1
    enough = end - start >= _TABLE_ROWS
    return (columns, end - start) if enough else ([], 0)


def _merge(columns: Sequence[tuple[float, float]], cells: Sequence[Box]) -> list[tuple[float, float]] | None:
    """The columns with these cells in them; None where two cells fall into one column, or one cell into two."""
    taken: set[int] = set()
    merged = list(columns)
    for cell in cells:
        over = [n for n, (left, right) in enumerate(columns) if min(right, cell.x1) - max(left, cell.x0) > 0]
        if len(over) > 1 or (over and over[0] in taken):
            return None
        if over:
            taken.add(over[0])
            left, right = merged[over[0]]
            merged[over[0]] = (min(left, cell.x0), max(right, cell.x1))
        else:
            merged.append((cell.x0, cell.x1))
    merged.sort()
    apart = all(before[1] <= after[0] for before, after in pairwise(merged))
    return merged if apart else None


def _written(table: Sequence[Sequence[Placed]], columns: Sequence[tuple[float, float]]) -> str:
    lines = []
    for row in table:
        cells = [""] * len(columns)
        for one in row:
            middle = (one.upright.x0 + one.upright.x1) / 2
            cells[next(n for n, (left, right) in enumerate(columns) if left <= middle <= right)] = _escape(
                one.line.text
            )
        lines.append("| " + " | ".join(cells) + " |")
    lines.insert(1, "|" + " --- |" * len(columns))
    return "\n".join(lines)


def _prose(page: Page, placed: Sequence[Placed], usual: float) -> Iterator[str]:
    if not placed:
        return
    heights = {id(one.line): one.upright for one in placed}
    for lines in paragraphs(page.model_copy(update={"lines": [one.line for one in placed]})):
        boxes = [heights[id(line)] for line in lines]
        text = _joined([line.text for line in lines], boxes)
        if len(lines) == 1 and boxes[0].height >= _HEADING * usual and len(lines[0].text) <= _HEADING_LENGTH:
            yield f"## {_escape(lines[0].text)}"
        else:
            yield text


def _joined(texts: Sequence[str], boxes: Sequence[Box]) -> str:
    """Lines of running text flow together; a line that ends well before the widest one was ended on purpose."""
    widest = max(box.x1 for box in boxes)
    out = ""
    for number, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        out += _NUMBERED.sub(r"\1\\\2", _AT_START.sub(r"\\\1", _escape(text)))
        if number == len(texts) - 1:
            break
        full = widest - box.x1 <= 3 * box.height and box.width >= _RUNNING * box.height
        full &= not _ITEM.match(texts[number + 1])
        solid = _SOLID.match(text[-1:]) and _SOLID.match(texts[number + 1][:1])
        out += ("" if solid else " ") if full else "  \n"
    return out


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
