"""Whether the last strip of a fax-compressed TIFF holds all of its rows.

CCITT codes (ITU-T T.4 and T.6; TIFF 6.0, section 11) say where they end and not how much there should be, so that libtiff takes what is
there for the strip and leaves the rest white, without an error.

    T.6 (group 4)   one more row, black all along, is put behind the last one, and the strip decoded again one row higher: it comes out as
                    the last row, or the strip was short. Its code holds in any place: it is written without a look at the row before.
    T.4 (group 3)   each row begins with the end-of-line code, which stands nowhere else: so they are counted.
"""

from __future__ import annotations

import io
import struct
from functools import cache
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

_WIDTH, _HEIGHT, _COMPRESSION, _FILL_ORDER, _OFFSETS, _ROWS_PER_STRIP, _SIZES = 256, 257, 259, 266, 273, 278, 279
_GROUP_3, _GROUP_4 = 3, 4
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_EOFB, _EOFB_BITS = 0x001001, 24  # T.6, 2.4.1.1
_EOL_ZEROS = 11
_MOST_BYTES = 8_000_000  # no page's strip is as long; taken bit by bit, one of an attacker's would take gigabytes
_DAMAGED = 100  # of so many rows one may have lost its end-of-line code on the wire


def lacks_rows(tags: Any, file: BinaryIO) -> bool:
    """Whether the last strip of the page with this directory ends before its last row. Other compressions: False."""
    compression = tags.get(_COMPRESSION)
    if compression not in (_GROUP_3, _GROUP_4) or _OFFSETS not in tags or _SIZES not in tags:
        return False
    width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
    a_strip = min(height, int(tags.get(_ROWS_PER_STRIP, height)))
    rows = (height - 1) % a_strip + 1
    size = int(_last(tags[_SIZES]))
    if size > _MOST_BYTES:
        return False
    file.seek(int(_last(tags[_OFFSETS])))
    strip = file.read(size)
    if tags.get(_FILL_ORDER, 1) == 2:
        strip = strip.translate(_REVERSED)
    if compression == _GROUP_3:
        return _rows_of_group_3(strip) < rows - 1 - rows // _DAMAGED
    return not _holds_group_4(strip, width, rows)


def _last(values: Any) -> Any:
    return values[-1] if isinstance(values, tuple) else values


def _rows_of_group_3(strip: bytes) -> int:
    """End-of-line codes (eleven zeros at least, fill bits may be among them, and a one: T.4, 4.1.2), those that follow one another at once
    (they say the end of all) once."""
    ones = np.flatnonzero(np.unpackbits(np.frombuffer(strip, np.uint8)))
    zeros = np.diff(ones, prepend=-1) - 1
    ends = ones[zeros >= _EOL_ZEROS]
    begins = ends - zeros[zeros >= _EOL_ZEROS]
    # Two-dimensional coding has one more bit behind each.
    return int(ends.size > 0) + int((begins[1:] - ends[:-1] > 2).sum())


def _holds_group_4(strip: bytes, width: int, rows: int) -> bool:
    """Also where the strip does not end as it should: then nobody can tell."""
    bits = int.from_bytes(strip, "big")
    leading = 8 * len(strip) - bits.bit_length()  # zeros that belong to the first code
    bits = _without_fill(bits)
    if bits & ((1 << _EOFB_BITS) - 1) != _EOFB:
        return True
    row, row_bits = _black_row(width)
    size = leading + bits.bit_length() + row_bits
    code = ((bits >> _EOFB_BITS) << row_bits | row) << _EOFB_BITS | _EOFB
    spare = -size % 8
    try:
        pixels = _decoded((code << spare).to_bytes((size + spare) // 8, "big"), width, rows + 1)
    except (OSError, Image.DecompressionBombError, Image.DecompressionBombWarning):  # one row more than may be decoded
        return True
    return not pixels[-1].any()  # black is 0


@cache
def _black_row(width: int) -> tuple[int, int]:
    """The code of a black row and its length in bits: horizontal mode, from the left edge to the right one."""
    out = io.BytesIO()
    Image.new("1", (width, 1), 0).save(out, "TIFF", compression="group4", tiffinfo={262: 0})
    with Image.open(out, formats=("TIFF",)) as image:
        tags: Any = getattr(image, "tag_v2", {})
        start, size = int(_last(tags[_OFFSETS])), int(_last(tags[_SIZES]))
    code = int.from_bytes(out.getvalue()[start : start + size], "big")
    leading = 8 * size - code.bit_length()
    code = _without_fill(code)
    return code >> _EOFB_BITS, leading + code.bit_length() - _EOFB_BITS


def _without_fill(bits: int) -> int:
    """Without the zeros that fill the last byte."""
    return bits >> ((bits & -bits).bit_length() - 1) if bits else 0


def _decoded(strip: bytes, width: int, height: int) -> Any:
    """A strip of group 4 as (height, width) booleans; black is False."""
    entries = [
        (256, width),
        (257, height),
        (258, 1),
        (259, 4),
        (262, 0),
        (273, 8 + 2 + 12 * 9 + 4),
        (277, 1),
        (278, height),
        (279, len(strip)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries
    )
    file = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + strip
    with Image.open(io.BytesIO(file), formats=("TIFF",)) as image:
        return np.asarray(image)
