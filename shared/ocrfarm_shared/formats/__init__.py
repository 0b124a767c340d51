"""The formats in which a result can be had, as text: pure functions from pages to pieces of a file.

Used by the gateway (`GET /v1/jobs/{id}/result?format=`) and by `ocrfarm read`. What needs pixels is made by a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ocrfarm_shared.contracts import Page
from ocrfarm_shared.formats.alto import alto
from ocrfarm_shared.formats.hocr import hocr
from ocrfarm_shared.formats.markdown import markdown
from ocrfarm_shared.formats.tsv import tsv


@dataclass(frozen=True)
class Format:
    """`write` takes the pages in order, unpacked one at a time, and the document's name; its pieces are joined as UTF-8."""

    media_type: str
    suffix: str
    write: Callable[[Iterable[Page], str], Iterator[str]]


def txt(pages: Iterable[Page]) -> Iterator[str]:
    """A form feed between pages, as the document's `text` has; a page that failed says so, an empty text would be a lie."""
    for number, page in enumerate(pages):
        said = f"[page {page.number} could not be read: {page.error.message}]" if page.error else page.text
        yield ("\f" if number else "") + said


TEXT_FORMATS = {
    "txt": Format("text/plain; charset=utf-8", ".txt", lambda pages, _: txt(pages)),
    "md": Format("text/markdown; charset=utf-8", ".md", lambda pages, _: markdown(pages)),
    "tsv": Format("text/tab-separated-values; charset=utf-8", ".tsv", lambda pages, _: tsv(pages)),
    "hocr": Format("application/xhtml+xml", ".hocr", hocr),
    "alto": Format("application/xml", ".xml", alto),
}
