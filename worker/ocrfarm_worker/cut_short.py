"""Images whose end the decoder made up: a file that breaks off must be an error, never a page that is read without its lower half.

Pillow says so itself where the bytes just end, in every format. It keeps silent where the data is too short and yet ends properly, as it
does when a program wrote what it had and closed the file:

    PNG     compressed data that ends before the last row: the rest is 0
    JPEG    an EOI marker before the last block: libjpeg warns (Pillow drops that) and makes the rest grey, 128 in every component
    TIFF    fewer strips or tiles than the height needs: the rest is 0 where they are not compressed; and fax codes that end before the last
            row: the rest is white (fax_rows.py)

GIF, BMP, WebP and the other compressions of TIFF are errors then, but for JPEG inside of a TIFF, whose end is grey as a JPEG's is.

A look at the picture's end settles it for nearly every page; only where that looks made up is the file read once more.
"""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ocrfarm_worker.fax_rows import lacks_rows
from ocrfarm_worker.png_rows import holds_all_rows

_GREY = (127, 128)  # CMYK is stored the other way round
_EOI = 0xD9
_STRIP = 256  # rows that are compared at a time: a whole page twice as numbers is much memory
# Every marker of a JPEG (ISO/IEC 10918-1, B.1.1.2) but the restarts, which stand inside of a scan, as does a stuffed FF 00.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_NOISE = hashlib.shake_128(b"bits that no scan ends with").digest(1024).replace(b"\xff", b"\xfe")
# Data for whatever block waits for some, then for those that first wait for a restart marker (FF D0 to FF D7, in turn).
_FILLER = _NOISE + b"".join(bytes([0xFF, 0xD0 + number % 8]) + _NOISE for number in range(16))
_WIDTH, _HEIGHT, _STRIPS, _SAMPLES, _ROWS_PER_STRIP, _PLANAR = 256, 257, 273, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES = 322, 323, 324


def is_cut_short(image: Image.Image, file: BinaryIO) -> bool:
    """Whether rows of this picture, which is loaded, are missing in its file. Raises what a damaged file lets Pillow and zlib raise."""
    if image.format == "PNG":
        return _ends_black(image) and not holds_all_rows(file)
    if image.format in ("JPEG", "MPO"):
        return _ends_grey(image) and not _scan_is_whole(image, file)
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        return _lacks_strips(tags) or lacks_rows(tags, file)
    return False


def _ends_black(image: Image.Image) -> bool:
    """Whether one of the last two rows is 0 all along. Both, as what an interlaced PNG lacks is every second row."""
    last = np.asarray(image.crop((0, max(0, image.height - 2), image.width, image.height)))
    return any(not row.any() for row in last)


def _ends_grey(image: Image.Image) -> bool:
    """Whether the lower right corner, of the last block, is plain grey."""
    last = np.asarray(image.crop((max(0, image.width - 4), image.height - 1, image.width, image.height)))
    return bool(np.isin(last, _GREY).all())


def _scan_is_whole(image: Image.Image, file: BinaryIO) -> bool:
    """Whether more data at the end of the scans changes nothing in the picture: then no block of it waited for any."""
    file.seek(0)
    data = file.read()
    end = _end_of_scans(data)
    if end is None:
        return True
    with Image.open(io.BytesIO(data[:end] + _FILLER + data[end:]), formats=("JPEG",)) as longer:
        longer.load()
        for top in range(
            0, image.height, _STRIP
        ):  # from the cut on it differs, if only for as long as the filler lasts
            rows = (0, top, image.width, min(image.height, top + _STRIP))
            if not np.array_equal(np.asarray(longer.crop(rows)), np.asarray(image.crop(rows))):
                return False
    return True


def _end_of_scans(data: bytes) -> int | None:
    """Where the first picture's EOI marker stands; None where there is none."""
    at = 2
    while found := _MARKER.search(data, at):
        if data[found.start() + 1] == _EOI:
            return found.start()
        at = found.start() + 2 + int.from_bytes(data[found.start() + 2 : found.start() + 4], "big")
    return None


def _lacks_strips(tags: Any) -> bool:
    """Whether the page's directory lists fewer strips or tiles than its size needs (TIFF 6.0, sections 3 and 15)."""
    width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
    planes = int(tags.get(_SAMPLES, 1)) if tags.get(_PLANAR, 1) == 2 else 1
    if _TILES in tags:
        needed = -(-width // int(tags[_TILE_WIDTH])) * -(-height // int(tags[_TILE_HEIGHT]))
        listed = tags[_TILES]
    elif _STRIPS in tags:
        needed = -(-height // min(height, int(tags.get(_ROWS_PER_STRIP, height))))
        listed = tags[_STRIPS]
    else:
        return False  # an old way to hold a JPEG, which has an end of its own
    return (len(listed) if isinstance(listed, tuple) else 1) < needed * planes
