"""Images to pixels, by Pillow.

Pillow was measured beside OpenCV's codecs on scans and photographs: the same pixels, the same time (faster on bilevel TIFF), and it says
so when a file is cut short, where OpenCV returns a half grey picture. So OpenCV's codecs are never called here.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from ocrfarm_shared.errors import NoSuchPage, TooManyPixels, Unreadable
from ocrfarm_worker.cut_short import is_cut_short
from ocrfarm_worker.document import Limits, Pixels

_ORIENTATION = 0x0112  # EXIF's tag
_SCREEN_DPI = 97
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")

# What Pillow's decoders raise on damaged bytes. Not `Exception`: a time limit is one too, and is no fault of the document.
_DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError, OverflowError,
    AttributeError, ZeroDivisionError, RuntimeError, zlib.error,
)  # fmt: skip

# A file that is cut short is an error, never a half grey page.
ImageFile.LOAD_TRUNCATED_IMAGES = False


def count(file: BinaryIO, limits: Limits) -> tuple[Literal["image", "tiff"], int]:
    """An image's kind and its pages: a TIFF's are counted, any other holds one. Raises Unreadable, TooManyPixels."""
    with _image(file, limits) as image:
        return ("tiff", _count_frames(image)) if image.format == "TIFF" else ("image", 1)


def decode(file: BinaryIO, number: int, limits: Limits, allot: Callable[[int, int], Pixels]) -> Pixels:
    """Page `number` (from 1) as uint8 BGR, EXIF rotation applied. Raises Unreadable, TooManyPixels, NoSuchPage."""
    with _image(file, limits) as image:
        _seek(image, number)
        check_pixels(image.width, image.height, limits, "scale it down")
        with _damage():
            image.load()
            if is_cut_short(image, file):
                raise Unreadable("The image is cut short: it has fewer rows than it says; send it again.")
        return _bgr(_upright(image), allot)


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before it is decoded. `orientation`: EXIF's, 1 to 8; `dpi`: across and down, as stored, where it says
    one that a scanner would; `inverted`: a CMYK JPEG by Adobe's programs."""

    format: str
    mode: str
    width: int
    height: int
    orientation: int
    dpi: tuple[float, float] | None
    inverted: bool


def header(file: BinaryIO, number: int, limits: Limits) -> Header:
    """Of page `number` (from 1). Raises Unreadable, TooManyPixels, NoSuchPage."""
    with _image(file, limits) as image:
        _seek(image, number)
        check_pixels(image.width, image.height, limits, "scale it down")
        orientation = 1
        with suppress(Unreadable), _damage():  # a damaged EXIF block says nothing
            found = image.getexif().get(_ORIENTATION, 1)
            orientation = found if found in range(1, 9) else 1
        format_, info = image.format or "", image.info
        return Header(format_, image.mode, *image.size, orientation, _dpi(info.get("dpi")), "adobe" in info)


def _dpi(said: Any) -> tuple[float, float] | None:
    """72 and 96 are what programs write that know of none."""
    try:
        across, down = (float(n) for n in said)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if _SCREEN_DPI < max(across, down) <= 2400 and min(across, down) >= 50 else None


def check_pixels(width: float, height: float, limits: Limits, advice: str) -> None:
    """Raises Unreadable for a page without area, TooManyPixels for one that is larger than the farm takes."""
    if not (width >= 1 and height >= 1):  # nor where one is no number
        raise Unreadable("The page has no area (its width or height is 0); export it again.")
    if width * height > limits.max_pixels:
        raise TooManyPixels(
            f"The page has {width:.0f} x {height:.0f} pixels, and this farm takes {limits.max_pixels / 1e6:g} million; {advice}."
        )


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
def _image(file: BinaryIO, limits: Limits) -> Iterator[Image.Image]:
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = limits.max_pixels  # while this document is open; turning its pages asks, too
    try:
        with _damage():
            image = Image.open(file, formats=FORMATS)
        with image:
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = before


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


def _upright(image: Image.Image) -> Image.Image:
    """EXIF rotation applied. A damaged EXIF block is no reason to refuse a picture that can be read."""
    try:
        with _damage():
            return ImageOps.exif_transpose(image)
    except Unreadable:
        return image


def _bgr(image: Image.Image, allot: Callable[[int, int], Pixels]) -> Pixels:
    """Any Pillow mode as uint8 BGR. 16 bits are scaled to 8; see-through pixels lie on white, light letters on black."""
    target = allot(image.height, image.width)
    if image.mode.startswith("I") or image.mode == "F":
        return _convert(_eight_bits(np.asarray(image)), cv2.COLOR_GRAY2BGR, target)
    if image.mode in ("1", "L"):
        return _convert(np.asarray(image if image.mode == "L" else _converted(image, "L")), cv2.COLOR_GRAY2BGR, target)
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        return _flatten(np.asarray(_converted(image, "RGBA")), target)
    return _convert(np.asarray(image if image.mode == "RGB" else _converted(image, "RGB")), cv2.COLOR_RGB2BGR, target)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """In another colour model; a damaged palette or profile shows here at the latest. Raises Unreadable."""
    try:
        with _damage():
            return image.convert(mode)
    except ImageCms.PyCMSError as err:  # LAB is converted by profiles
        raise Unreadable from err


def _convert(pixels: NDArray[Any], code: int, target: Pixels) -> Pixels:
    """Into `target`, with no copy in between."""
    written = cv2.cvtColor(pixels, code, dst=target)
    assert np.may_share_memory(written, target)
    return target


def _eight_bits(values: NDArray[Any]) -> Pixels:
    """Deep greys to 8 bits: whole-number depths by their full scale (8, 12 or 16 bits), others by the span they use."""
    top = float(values.max())
    if np.issubdtype(values.dtype, np.integer) and float(values.min()) >= 0 and top <= 65535:
        full = next(scale for scale in (255, 4095, 65535) if top <= scale)
        return (values.astype(np.float32) * np.float32(255 / full) + np.float32(0.5)).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float32))
    low, high = float(finite.min()), float(finite.max())
    return ((finite - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)


def _flatten(rgba: Pixels, colour: Pixels) -> Pixels:
    """See-through pixels on white; on black where the picture is light letters on nothing (they would vanish on white).

    `colour` is what is written to and returned: uint8 (height, width, 3).
    """
    alpha = rgba[:, :, 3]
    _convert(rgba, cv2.COLOR_RGBA2BGR, colour)
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
