"""PDF pages to pixels, by PDFium. Its pages are drawn straight into the memory that the caller allots."""

from __future__ import annotations

import ctypes
import math
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from typing import Any

import pypdfium2 as pdfium

from ocrfarm_shared.errors import Encrypted, NoSuchPage, Unreadable
from ocrfarm_worker.document import Limits, Pixels
from ocrfarm_worker.pictures import check_pixels

_LIBRARY = pdfium.raw.FPDF_LIBRARY_CONFIG(version=2, m_pUserFontPaths=None, m_pIsolate=None, m_v8EmbedderSlot=0)
_SMALLER = "ask for a lower `dpi`, or make the page smaller"


def count(file: BufferedReader | BytesIO) -> int:
    """How many pages the document has, at least one. Raises Unreadable, Encrypted."""
    with opened(file) as document:
        return len(document)


def render(
    file: BufferedReader | BytesIO, number: int, dpi: int, limits: Limits, allot: Callable[[int, int], Pixels]
) -> Pixels:
    """Page `number` (from 1) at `dpi` as uint8 BGR, with its annotations and filled-in forms.

    Raises Unreadable, Encrypted, TooManyPixels, NoSuchPage.
    """
    scale = dpi / 72  # PDF units are 1/72 inch
    with opened(file) as document:
        count = len(document)
        if not 1 <= number <= count:
            raise NoSuchPage(f"There is no page {number}; the document has {count} pages.")
        if document.get_formtype() != pdfium.raw.FORMTYPE_NONE:
            document.init_forms()
        try:
            width, height = document.get_page_size(number - 1)
            check_pixels(width * scale, height * scale, limits, _SMALLER)
            page = document[number - 1]
            try:
                # The page's own size decides the bitmap's, and may differ from the document's word on it.
                width, height = page.get_size()
                check_pixels(width * scale, height * scale, limits, _SMALLER)
                return _drawn(page, scale, allot(math.ceil(height * scale), math.ceil(width * scale)))
            finally:
                page.close()
        except pdfium.PdfiumError as err:
            raise Unreadable(
                f"Page {number} of the PDF is damaged and cannot be drawn; export or scan it again."
            ) from err


def _drawn(page: pdfium.PdfPage, scale: float, target: Pixels) -> Pixels:
    buffer = (ctypes.c_ubyte * target.nbytes).from_buffer(target.data)

    def on_target(width: int, height: int, *, format: int, rev_byteorder: bool) -> pdfium.PdfBitmap:
        assert (height, width, 3) == target.shape
        return pdfium.PdfBitmap.new_native(width, height, format, rev_byteorder, buffer=buffer)

    page.render(scale=scale, bitmap_maker=on_target, force_bitmap_format=pdfium.raw.FPDFBitmap_BGR).close()
    return target


@contextmanager
def opened(file: BufferedReader | BytesIO) -> Iterator[pdfium.PdfDocument]:
    """PDFium's view of it. Raises Unreadable, Encrypted."""
    _begin_afresh()
    try:
        document = pdfium.PdfDocument(_in_memory(file))
    except pdfium.PdfiumError as err:
        if getattr(err, "err_code", None) == pdfium.raw.FPDF_ERR_PASSWORD:
            raise Encrypted from err
        if getattr(err, "err_code", None) == pdfium.raw.FPDF_ERR_SECURITY:
            raise Encrypted("The PDF is protected in a way that cannot be opened; send it without protection.") from err
        raise Unreadable("The PDF is damaged or cut short and cannot be opened; export or scan it again.") from err
    try:
        yield document
    finally:
        document.close()


def _begin_afresh() -> None:
    """Let PDFium forget the documents before: a font that it stands in for another keeps the shape that the last one asked for, so that
    a page would look otherwise after one document than after another (found by fuzzing). It costs 10 microseconds."""
    pdfium.raw.FPDF_DestroyLibrary()
    pdfium.raw.FPDF_InitLibraryWithConfig(_LIBRARY)


def _in_memory(file: BufferedReader | BytesIO) -> Any:
    """The document as PDFium takes it. A file on disk is mapped, not read: a page mostly needs a small part of it.

    The map is private and writable because ctypes takes no other; PDFium only reads. It goes with the last reference to the array.
    """
    if isinstance(file, BytesIO):
        return file.getvalue()
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return (ctypes.c_char * len(mapped)).from_buffer(mapped)
