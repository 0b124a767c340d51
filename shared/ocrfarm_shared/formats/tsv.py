"""Tab-separated values as Tesseract writes them (`tesseract IN OUT tsv`), so that what reads those reads these.

One row a page, block, paragraph, line and word (levels 1 to 5), with its box in pixels of the page as sent; `conf` is 0 to 100 for words,
-1 for what holds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ocrfarm_shared.contracts import Page
from ocrfarm_shared.formats.boxes import box_around, box_of, paragraphs, sides, words

HEADER = [
    "level",
    "page_num",
    "block_num",
    "par_num",
    "line_num",
    "word_num",
    "left",
    "top",
    "width",
    "height",
    "conf",
    "text",
]


def tsv(pages: Iterable[Page]) -> Iterator[str]:
    """Pieces of the file. A page that could not be read has its row of level 1 and nothing below."""
    yield "\t".join(HEADER) + "\n"
    for page in pages:
        yield "".join("\t".join(map(str, row)) + "\n" for row in _page(page))


def _page(page: Page) -> Iterator[Sequence[int | float | str]]:
    yield (1, page.number, 0, 0, 0, 0, 0, 0, page.width, page.height, -1, "")
    for block, lines in enumerate(paragraphs(page), 1):
        around = sides(box_around(box_of(line.polygon) for line in lines))
        yield (2, page.number, block, 0, 0, 0, *around, -1, "")
        yield (3, page.number, block, 1, 0, 0, *around, -1, "")
        for number, line in enumerate(lines, 1):
            yield (4, page.number, block, 1, number, 0, *sides(box_of(line.polygon)), -1, "")
            for place, word in enumerate(words(line), 1):
                at = sides(box_of(word.polygon))
                yield (5, page.number, block, 1, number, place, *at, round(word.confidence * 100, 2), _cell(word.text))


def _cell(text: str) -> str:
    return " ".join(text.split())
