"""Bytes to pages: the only stage that opens what a stranger sent.

Pillow decodes the images. It was measured beside OpenCV's codecs on scans and photographs: the same pixels, the same time
(faster on bilevel TIFF), and it says so when a file is cut short, where OpenCV returns a half grey picture. So OpenCV's codecs
are never called here. pypdfium2 renders the PDFs.

Sizes are read from headers and checked before a pixel is decoded or rendered.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import cv2
import numpy as np
import pypdfium2 as pdfium
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ocrfarm_shared.errors import (
    EmptyFile,
    Encrypted,
    NoSuchPage,
    TooManyPages,
    TooManyPixels,
    Unreadable,
)
from ocrfarm_shared.settings import Settings

Source = Path | bytes
Pixels = NDArray[np.uint8]
Kind = Literal["image", "tiff", "pdf"]

PDF_TYPE = "application/pdf"
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")

# What Pillow's decoders raise on damaged bytes. Not `Exception`: a time limit is one too, and is no fault of the document.
_DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError, OverflowError,
    AttributeError, ZeroDivisionError, RuntimeError, zlib.error,
)  # fmt: skip

# A file that is cut short is an error, never a half grey page.
ImageFile.LOAD_TRUNCATED_IMAGES = False


@dataclass(frozen=True)
class Limits:
    """What this farm takes: pages that are read of one document, pixels of one page after decoding or rendering."""

    max_pages: int = 2000
    max_pixels: int = 80_000_000

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(max_pages=settings.max_pages, max_pixels=settings.max_pixels)


@dataclass(frozen=True)
class Plan:
    """What a document holds: how many pages, of what kind, and the numbers (from 1) of those to be read."""

    kind: Kind
    page_count: int
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class LoadedPage:
    """One page as pixels: uint8, (height, width, 3), BGR, EXIF rotation applied. `dpi` is set for PDF pages alone."""

    image: Pixels
    dpi: int | None = None

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])


def plan(source: Source, media_type: str | None, limits: Limits, pages: str | None = None) -> Plan:
    """Count the pages without decoding or rendering one, and choose those that `pages` (`1-4,9,5-`) names.

    Raises EmptyFile, Unreadable, Encrypted, TooManyPages (more to be read than `limits` allow), NoSuchPage.
    """
    if _is_pdf(source, media_type):
        with _pdf(source) as document:
            kind: Kind = "pdf"
            count = len(document)
    else:
        with _image(source, limits) as image:
            kind = "tiff" if image.format == "TIFF" else "image"
            count = _count_frames(image) if kind == "tiff" else 1
    if count < 1:
        raise Unreadable("The document holds no pages; export it again.")
    numbers = choose_pages(pages, count)
    if len(numbers) > limits.max_pages:
        raise TooManyPages(
            f"{len(numbers)} pages are more than this farm reads of one document ({limits.max_pages}); "
            "split it, or choose some with `pages`."
        )
    return Plan(kind, count, numbers)


def choose_pages(wanted: str | None, count: int) -> tuple[int, ...]:
    """The pages of a document of `count` pages that a range names, ascending. Raises NoSuchPage where there is none."""
    if wanted is None:
        return tuple(range(1, count + 1))
    chosen: set[int] = set()
    for part in wanted.split(","):
        first, dash, last = part.partition("-")
        start, stop = int(first), int(last) if last else (count if dash else int(first))
        chosen.update(range(max(start, 1), min(stop, count) + 1))
    if not chosen:
        has = "one page" if count == 1 else f"{count} pages"
        raise NoSuchPage(f"None of the pages asked for ({wanted}) exists; the document has {has}.")
    return tuple(sorted(chosen))


def load_page(source: Source, media_type: str | None, number: int, dpi: int, limits: Limits) -> LoadedPage:
    """Page `number` (from 1) as pixels; PDF pages rendered at `dpi` with their annotations and filled-in forms.

    Raises EmptyFile, Unreadable, Encrypted, TooManyPixels, NoSuchPage.
    """
    if _is_pdf(source, media_type):
        return _load_pdf_page(source, number, dpi, limits)
    with _image(source, limits) as image:
        _seek(image, number)
        _check_pixels(image.width, image.height, limits, "scale it down")
        with _damage():
            image.load()
        return LoadedPage(_bgr(_upright(image)))


# ---------------------------------------------------------------------------------------------------- images


def _is_pdf(source: Source, media_type: str | None) -> bool:
    """By the type that the gateway found; left out, by the mark within the first KB (ISO 32000-1, annex H)."""
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if not size:
        raise EmptyFile
    if media_type is not None:
        return media_type == PDF_TYPE
    if isinstance(source, bytes):
        return b"%PDF-" in source[:1024]
    with source.open("rb") as file:
        return b"%PDF-" in file.read(1024)


@contextmanager
def _damage() -> Iterator[None]:
    """Turn what a decoder raises into one of our errors; the file system's own errors (they carry an errno) pass.

    Pillow's warnings tell of odd tags; the one of a decompression bomb is an error.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
        raise TooManyPixels from err
    except UnidentifiedImageError as err:
        raise Unreadable("The file cannot be opened as an image; it is damaged or not an image after all.") from err
    except _DAMAGE as err:
        if isinstance(err, OSError) and err.errno is not None:
            raise
        raise Unreadable from err


@contextmanager
def _image(source: Source, limits: Limits) -> Iterator[Image.Image]:
    Image.MAX_IMAGE_PIXELS = limits.max_pixels  # the process's own limit, never a job's
    with _damage():
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    with image:
        yield image


def _count_frames(image: Image.Image) -> int:
    with _damage():
        return int(getattr(image, "n_frames", 1))


def _seek(image: Image.Image, number: int) -> None:
    """Go to a TIFF's page; of animations (GIF, WebP, PNG) and of several pictures in a JPEG the first is the page."""
    if number == 1:
        return
    count = _count_frames(image) if image.format == "TIFF" else 1
    if not 1 <= number <= count:
        raise NoSuchPage(
            f"There is no page {number}; the document has {'one page' if count == 1 else f'{count} pages'}."
        )
    with _damage():
        image.seek(number - 1)


def _check_pixels(width: float, height: float, limits: Limits, advice: str) -> None:
    if width < 1 or height < 1:
        raise Unreadable("The page has no area (its width or height is 0); export it again.")
    if width * height > limits.max_pixels:
        raise TooManyPixels(
            f"The page has {width:.0f} x {height:.0f} pixels, and this farm takes {limits.max_pixels / 1e6:g} million; {advice}."
        )


def _upright(image: Image.Image) -> Image.Image:
    """EXIF rotation applied. A damaged EXIF block is no reason to refuse a picture that can be read."""
    try:
        with _damage():
            return ImageOps.exif_transpose(image)
    except Unreadable:
        return image


def _bgr(image: Image.Image) -> Pixels:
    """Any Pillow mode as uint8 BGR. 16 bits are scaled to 8; see-through pixels lie on white, light letters on black."""
    if image.mode.startswith("I") or image.mode == "F":
        return _to_bgr(_eight_bits(np.asarray(image)), cv2.COLOR_GRAY2BGR)
    if image.mode in ("1", "L"):
        return _to_bgr(np.asarray(image if image.mode == "L" else image.convert("L")), cv2.COLOR_GRAY2BGR)
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        return _flatten(np.asarray(image.convert("RGBA")))
    return _to_bgr(np.asarray(image if image.mode == "RGB" else image.convert("RGB")), cv2.COLOR_RGB2BGR)


def _to_bgr(pixels: NDArray[Any], code: int) -> Pixels:
    return cv2.cvtColor(pixels, code).astype(np.uint8, copy=False)


def _eight_bits(values: NDArray[Any]) -> Pixels:
    """Deep greys to 8 bits: whole-number depths by their full scale (8, 12 or 16 bits), others by the span they use."""
    top = float(values.max())
    if np.issubdtype(values.dtype, np.integer) and float(values.min()) >= 0 and top <= 65535:
        full = next(scale for scale in (255, 4095, 65535) if top <= scale)
        return (values.astype(np.float32) * np.float32(255 / full) + np.float32(0.5)).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float32))
    low, high = float(finite.min()), float(finite.max())
    return ((finite - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)


def _flatten(rgba: Pixels) -> Pixels:
    """See-through pixels on white; on black where the picture is light letters on nothing (they would vanish on white)."""
    alpha = rgba[:, :, 3]
    colour = _to_bgr(rgba, cv2.COLOR_RGBA2BGR)
    if int(alpha.min()) == 255:
        return colour
    cover = float(alpha.mean(dtype=np.float64)) / 255
    brightness = 0.0
    for rows in _strips(rgba):
        grey = cv2.cvtColor(colour[rows], cv2.COLOR_BGR2GRAY)
        brightness += float((grey.astype(np.float32) * alpha[rows]).sum(dtype=np.float64)) / 255
    light = cover > 0 and brightness / alpha.size / cover > 160
    ground = np.float32(0 if light and cover < 0.5 else 255)
    for rows in _strips(rgba):
        weight = alpha[rows, :, None].astype(np.float32) / 255
        colour[rows] = colour[rows] * weight + ground * (1 - weight) + np.float32(0.5)
    return colour


def _strips(image: Pixels) -> Iterator[slice]:
    """Rows by about a million pixels: in floating point a whole page of 80 million takes gigabytes."""
    step = max(1, 1_000_000 // max(1, image.shape[1]))
    for top in range(0, image.shape[0], step):
        yield slice(top, top + step)


# ---------------------------------------------------------------------------------------------------- PDF


@contextmanager
def _pdf(source: Source) -> Iterator[pdfium.PdfDocument]:
    try:
        document = pdfium.PdfDocument(source)
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


def _load_pdf_page(source: Source, number: int, dpi: int, limits: Limits) -> LoadedPage:
    scale = dpi / 72  # PDF units are 1/72 inch
    with _pdf(source) as document:
        count = len(document)
        if not 1 <= number <= count:
            raise NoSuchPage(f"There is no page {number}; the document has {count} pages.")
        if document.get_formtype() != pdfium.raw.FORMTYPE_NONE:
            document.init_forms()
        try:
            width, height = document.get_page_size(number - 1)
            _check_pixels(width * scale, height * scale, limits, "ask for a lower `dpi`, or make the page smaller")
            page = document[number - 1]
            try:
                # The page's own size decides the bitmap's, and may differ from the document's word on it.
                width, height = page.get_size()
                _check_pixels(width * scale, height * scale, limits, "ask for a lower `dpi`, or make the page smaller")
                bitmap = page.render(scale=scale, prefer_bgrx=False, rev_byteorder=False)
                try:
                    return LoadedPage(_rendered(bitmap), dpi)
                finally:
                    bitmap.close()
            finally:
                page.close()
        except pdfium.PdfiumError as err:
            raise Unreadable(
                f"Page {number} of the PDF is damaged and cannot be drawn; export or scan it again."
            ) from err


def _rendered(bitmap: pdfium.PdfBitmap) -> Pixels:
    """The bitmap's pixels in memory of our own: PDFium frees its buffer with the bitmap."""
    pixels = bitmap.to_numpy()
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return _to_bgr(pixels, cv2.COLOR_GRAY2BGR)
    return np.array(pixels[:, :, :3], order="C", dtype=np.uint8)
