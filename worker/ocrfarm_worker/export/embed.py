"""A picture into a PDF: a JPEG as the JPEG it is; any other without loss, unless that makes much more of it than came."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from io import BufferedReader, BytesIO

import cv2
import numpy as np
import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf, Stream
from PIL import Image

from ocrfarm_worker import pictures
from ocrfarm_worker.document import Limits, Pixels

Matrix = tuple[int, int, int, int, int, int]

# EXIF's orientation as the matrix that draws the picture upright on a page of one by one (TIFF 6.0, Orientation; PDF counts upwards).
UPRIGHT: dict[int, Matrix] = {
    1: (1, 0, 0, 1, 0, 0),
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}
_SPACES = {"L": Name.DeviceGray, "RGB": Name.DeviceRGB, "CMYK": Name.DeviceCMYK}
# Larger without loss than so many times what came: it came with loss (WebP), and goes on as JPEG.
_MUCH_MORE = 3
_LOSSY_QUALITY = 90


@dataclass(frozen=True)
class Embedded:
    """A picture as an object of a PDF. `width`, `height`: pixels, upright; `matrix` draws it upright on a page of one by one."""

    image: pikepdf.Object
    width: int
    height: int
    matrix: Matrix
    dpi: tuple[float, float]


def embed(pdf: Pdf, file: BufferedReader | BytesIO, number: int, count: int, dpi: int, limits: Limits) -> Embedded:
    """Page `number` of `count`. `dpi`: where the picture does not say its own. Raises Unreadable, TooManyPixels, NoSuchPage."""
    told = pictures.header(file, number, limits)
    across, down = told.dpi or (dpi, dpi)
    if told.format == "JPEG" and told.mode in _SPACES:
        file.seek(0)
        image = _jpeg(pdf, file.read(), told)
        turned = told.orientation > 4
        size = (told.height, told.width) if turned else (told.width, told.height)
        return Embedded(image, *size, UPRIGHT[told.orientation], (down, across) if turned else (across, down))
    file.seek(0)
    pixels = pictures.decode(file, number, limits, lambda height, width: np.empty((height, width, 3), np.uint8))
    if told.orientation > 4:
        across, down = down, across
    came = file.seek(0, os.SEEK_END) / count
    return Embedded(_pixels(pdf, pixels, came), pixels.shape[1], pixels.shape[0], UPRIGHT[1], (across, down))


def _jpeg(pdf: Pdf, data: bytes, told: pictures.Header) -> Stream:
    image = _stream(pdf, data, told.width, told.height, _SPACES[told.mode], 8, Name.DCTDecode)
    if told.mode == "CMYK" and told.inverted:  # Adobe's programs write it the other way round
        image[Name.Decode] = Array([1, 0] * 4)
    return image


def _pixels(pdf: Pdf, pixels: Pixels, came: float) -> Stream:
    """BGR pixels; `came`: bytes that they were in the file that was sent."""
    height, width = pixels.shape[:2]
    grey = bool((pixels[:, :, 0] == pixels[:, :, 1]).all() and (pixels[:, :, 0] == pixels[:, :, 2]).all())
    if grey:
        image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]))
        if not np.any((pixels[:, :, 0] != 0) & (pixels[:, :, 0] != 255)):
            image = image.convert("1", dither=Image.Dither.NONE)
    else:
        image = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    space = Name.DeviceGray if grey else Name.DeviceRGB
    bits = 1 if image.mode == "1" else 8
    data = _png_rows(image)
    if bits == 8 and len(data) > max(100_000, _MUCH_MORE * came):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=_LOSSY_QUALITY)
        return _stream(pdf, out.getvalue(), width, height, space, 8, Name.DCTDecode)
    made = _stream(pdf, data, width, height, space, bits, Name.FlateDecode)
    made[Name.DecodeParms] = Dictionary(Predictor=15, Colors=1 if grey else 3, BitsPerComponent=bits, Columns=width)
    return made


def _stream(pdf: Pdf, data: bytes, width: int, height: int, space: Name, bits: int, by: Name) -> Stream:
    return Stream(
        pdf, data, Type=Name.XObject, Subtype=Name.Image, Width=width, Height=height, ColorSpace=space, BitsPerComponent=bits,
        Filter=by,
    )  # fmt: skip


def _png_rows(image: Image.Image) -> bytes:
    """The picture's rows as PNG compresses them, which is what PDF calls Flate with predictor 15 (ISO 32000-1, 7.4.4.4)."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    data, at, rows = out.getvalue(), 8, []
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            rows.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return b"".join(rows)
