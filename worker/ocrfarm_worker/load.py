"""Bytes to pages: the only stage that opens what a stranger sent.

It runs in a process of its own (`decoding/`), which holds no credentials and may take only so much; nothing here knows of that. Pillow
decodes the images (`pictures.py`), PDFium renders the PDFs (`pdf.py`). Sizes are read from headers and checked before a pixel is decoded
or rendered.

A document is a path, its bytes, or a file open for reading at its start. The pixels are written where the caller says: `allot` is called
once, with height and width, and answers a uint8 array (height, width, 3) that the page is written into.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np

from ocrfarm_shared.errors import EmptyFile, Unreadable
from ocrfarm_worker import pdf, pictures
from ocrfarm_worker.document import PDF_TYPE, Kind, Limits, LoadedPage, Pixels, Plan, choose_pages, chosen

__all__ = ["Allot", "Limits", "LoadedPage", "Plan", "Source", "choose_pages", "count_pages", "load_page", "plan"]

Source = Path | bytes | BufferedReader
Allot = Callable[[int, int], Pixels]


def plan(source: Source, media_type: str | None, limits: Limits, pages: str | None = None) -> Plan:
    """Count the pages without decoding or rendering one, and choose those that `pages` (`1-4,9,5-`) names.

    Raises EmptyFile, Unreadable, Encrypted, TooManyPages (more to be read than `limits` allow), NoSuchPage.
    """
    kind, count = count_pages(source, media_type, limits)
    return chosen(kind, count, pages, limits)


def count_pages(source: Source, media_type: str | None, limits: Limits) -> tuple[Kind, int]:
    """The document's kind and how many pages it has. Raises EmptyFile, Unreadable, Encrypted."""
    with _opened(source) as file:
        if is_pdf(file, media_type):
            return "pdf", pdf.count(file)
        kind, count = pictures.count(file, limits)
    if count < 1:
        raise Unreadable("The document holds no pages; export it again.")
    return kind, count


def load_page(
    source: Source, media_type: str | None, number: int, dpi: int, limits: Limits, allot: Allot | None = None
) -> LoadedPage:
    """Page `number` (from 1) as pixels; PDF pages rendered at `dpi` with their annotations and filled-in forms.

    Raises EmptyFile, Unreadable, Encrypted, TooManyPixels, NoSuchPage.
    """
    allot = allot or _own_memory
    with _opened(source) as file:
        if is_pdf(file, media_type):
            return LoadedPage(pdf.render(file, number, dpi, limits, allot), dpi)
        return LoadedPage(pictures.decode(file, number, limits, allot))


def _own_memory(height: int, width: int) -> Pixels:
    return np.empty((height, width, 3), np.uint8)


def _opened(source: Source) -> BufferedReader | BytesIO:
    if isinstance(source, bytes):
        return BytesIO(source)
    return source.open("rb") if isinstance(source, Path) else source


def is_pdf(file: BufferedReader | BytesIO, media_type: str | None) -> bool:
    """A PDF? By the type that the gateway found; left out, by the mark within the first KB (ISO 32000-1, annex H)."""
    if not file.seek(0, os.SEEK_END):
        raise EmptyFile
    file.seek(0)
    if media_type is not None:
        return media_type == PDF_TYPE
    head = file.read(1024)
    file.seek(0)
    return b"%PDF-" in head
