"""Whether a PNG holds all of its rows.

Pillow takes the end of the compressed data for the end of the picture: one that ends properly, but before the last row, comes out as a
whole picture whose rest is black, without an error. For one that looks so (`cut_short.py`) the bytes are counted here (PNG specification,
third edition, 7.2, 8.1 and 10.1). For every picture that would be a good part of what decoding it takes.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

_SIGNATURE = 8  # bytes before the first chunk
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: first column, first row, column step, row step of each pass.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 1 << 16


def holds_all_rows(file: BinaryIO) -> bool:
    """Whether the image data inflates to as many bytes as the header's size needs; the file is read from its beginning.

    Raises zlib.error and struct.error for damaged data. Memory is bounded, whatever the data inflates to.
    """
    file.seek(_SIGNATURE)
    missing: int | None = None
    inflate = zlib.decompressobj()
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IHDR":
            missing = _bytes_needed(file.read(length))
        elif kind == b"IDAT" and missing is not None:
            while length and missing > 0:
                piece = file.read(min(length, _PIECE))
                if not piece:
                    return False
                length -= len(piece)
                while piece and missing > 0:
                    missing -= len(inflate.decompress(piece, _PIECE))
                    piece = inflate.unconsumed_tail
                if inflate.eof:
                    return missing <= 0
            if missing <= 0:
                return True
            file.seek(length, 1)
        elif kind == b"IEND":
            break
        else:
            file.seek(length, 1)
        file.seek(4, 1)  # the chunk's check sum is the decoder's to look at
    return False


def _bytes_needed(header: bytes) -> int:
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header[:13])
    bits = depth * _CHANNELS.get(colour, 4)

    def rows(wide: int, high: int) -> int:
        return high * (1 + (wide * bits + 7) // 8) if wide and high else 0

    if not interlace:
        return rows(width, height)
    return sum(rows((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in _PASSES)
