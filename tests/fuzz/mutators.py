"""Damage that gets past the first check: mutators that know where a format keeps its sizes, offsets, types and checksums.

Each takes a random generator and the bytes of a file, and returns other bytes. What a format's mutator cannot make sense of any more (the
file was damaged before) it leaves to the general ones.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from random import Random

from tests.documents import png_chunk

Mutator = Callable[[Random, bytes], bytes]

ODD_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    127,
    128,
    255,
    256,
    1000,
    4095,
    32767,
    32768,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
MOST_BYTES = 200_000


# ---------------------------------------------------------------------------------------------------- any file


def flip_bits(rng: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def odd_number(rng: Random, data: bytes) -> bytes:
    """A number that is seldom meant, somewhere, in one of the sizes and orders of bytes."""
    form = rng.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    if len(data) < size:
        return data
    at = rng.randrange(len(data) - size + 1)
    return data[:at] + struct.pack(form, rng.choice(ODD_NUMBERS) & (2 ** (8 * size) - 1)) + data[at + size :]


def cut(rng: Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def drop_part(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 64) :]


def repeat_part(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    part = data[at : at + rng.randrange(1, 200)]
    return data[:at] + part * rng.choice((2, 3, 50)) + data[at + len(part) :]


def noise(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at + rng.randrange(40) :]


GENERAL: tuple[Mutator, ...] = (flip_bits, odd_number, odd_number, cut, drop_part, repeat_part, noise)


# ---------------------------------------------------------------------------------------------------- PNG


def png(rng: Random, data: bytes) -> bytes:
    """A chunk changed, doubled, moved or left out, its checksum right."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return flip_bits(rng, data)
    which = rng.randrange(len(chunks))
    kind, body = chunks[which]
    match rng.randrange(6):
        case 0:
            chunks.insert(rng.randrange(len(chunks) + 1), (kind, body))
        case 1:
            chunks.append(chunks.pop(which))
        case 2:
            del chunks[which]
        case 3 if kind == b"IDAT":
            rows = zlib.decompressobj().decompress(body, 100_000)
            chunks[which] = (kind, zlib.compress(rng.choice(GENERAL)(rng, rows)))
        case 4:
            width, height = rng.choice(ODD_NUMBERS[1:12]), rng.choice(ODD_NUMBERS[1:12])
            shape = (rng.choice((1, 2, 4, 8, 16, 3)), rng.choice((0, 2, 3, 4, 6, 1)), 0, 0, rng.choice((0, 1)))
            chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", width, height, *shape))
        case _:
            chunks[which] = (kind, rng.choice(GENERAL)(rng, body))
    out = bytearray(data[:8])
    for kind, body in chunks:
        out += png_chunk(kind, body)
    return bytes(out)


# ---------------------------------------------------------------------------------------------------- JPEG


def jpeg(rng: Random, data: bytes) -> bytes:
    """A segment changed with its length right, doubled, or left out; the frame's sizes and samplings more often than the rest."""
    segments, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        segments.append((data[at + 1], data[at + 4 : at + 2 + size]))
        at += 2 + size
    if not segments:
        return flip_bits(rng, data)
    which = rng.randrange(len(segments))
    frames = [n for n, (marker, _) in enumerate(segments) if marker in (0xC0, 0xC1, 0xC2)]
    if frames and rng.random() < 0.4:
        which = frames[0]
    marker, body = segments[which]
    match rng.randrange(5):
        case 0:
            segments.insert(which, (marker, body))
        case 1:
            del segments[which]
        case 2 if marker in (0xC0, 0xC1, 0xC2) and len(body) > 5:
            body = body[:1] + struct.pack(">HH", rng.choice(ODD_NUMBERS[:14]), rng.choice(ODD_NUMBERS[:14])) + body[5:]
            segments[which] = (rng.choice((marker, 0xC0, 0xC2, 0xC9, 0xC3)), body)
        case 3:
            segments.insert(which, (0xDD, struct.pack(">H", rng.choice((0, 1, 2, 65535)))))
        case _:
            segments[which] = (marker, rng.choice(GENERAL)(rng, body))
    out = bytearray(data[:2])
    for marker, body in segments:
        out += bytes((0xFF, marker)) + struct.pack(">H", min(len(body) + 2, 65535)) + body[:65533]
    return bytes(out) + data[at:]


# ---------------------------------------------------------------------------------------------------- TIFF


def tiff(rng: Random, data: bytes) -> bytes:
    """An entry of a directory: another tag, type, count, value or offset; a directory that follows itself."""
    order = ">" if data[:2] == b"MM" else "<"
    if len(data) < 16 or data[2:4] not in (b"*\0", b"\0*"):
        return odd_number(rng, data)
    start = struct.unpack_from(order + "I", data, 4)[0]
    if not 8 <= start <= len(data) - 6:
        return odd_number(rng, data)
    count = struct.unpack_from(order + "H", data, start)[0]
    out = bytearray(data)
    place = start + 2 + 12 * rng.randrange(max(1, min(count, 40)))
    end = start + 2 + 12 * count
    if place + 12 > len(out):
        return odd_number(rng, data)
    match rng.randrange(7):
        case 0:
            struct.pack_into(
                order + "H",
                out,
                place,
                rng.choice((256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 325, 338, 339, 347)),
            )
        case 1:
            struct.pack_into(order + "H", out, place + 2, rng.randrange(20))
        case 2:
            struct.pack_into(order + "I", out, place + 4, rng.choice(ODD_NUMBERS))
        case 3:
            struct.pack_into(
                order + "H",
                out,
                place + 8,
                rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 32773, 32946, 34676, 50001, 32809)),
            )
        case 4 if end + 4 <= len(out):
            struct.pack_into(order + "I", out, end, rng.choice((start, 8, len(out) - 2, 2**31)))
        case 5:
            struct.pack_into(order + "H", out, start, rng.choice((0, count + 1, count - 1, 65535)) & 0xFFFF)
        case _:
            struct.pack_into(order + "I", out, place + 8, rng.choice((*ODD_NUMBERS, start, len(out) - 1)))
    return bytes(out)


# ---------------------------------------------------------------------------------------------------- BMP, GIF, WebP


def bmp(rng: Random, data: bytes) -> bytes:
    """A field of the header: sizes (also negative), depth, compression, palette, offset of the pixels."""
    if len(data) < 54:
        return flip_bits(rng, data)
    out = bytearray(data)
    match rng.randrange(6):
        case 0:
            struct.pack_into("<i", out, rng.choice((18, 22)), rng.choice((0, -1, -32, 1, 47, 49, 65535, -(2**31))))
        case 1:
            struct.pack_into("<H", out, 28, rng.choice((0, 1, 2, 4, 8, 15, 16, 24, 32, 64)))
        case 2:
            struct.pack_into("<I", out, 30, rng.choice((0, 1, 2, 3, 4, 5, 6, 11)))
        case 3:
            struct.pack_into("<I", out, rng.choice((10, 34, 46, 50)), rng.choice(ODD_NUMBERS))
        case 4:
            struct.pack_into("<I", out, 14, rng.choice((12, 16, 40, 52, 56, 64, 108, 124)))
        case _:
            return data[:54] + rng.choice(GENERAL)(rng, data[54:])
    return bytes(out)


def gif(rng: Random, data: bytes) -> bytes:
    """The screen's and the picture's sizes, flags, the first code's size; and the compressed data."""
    if len(data) < 30:
        return flip_bits(rng, data)
    out = bytearray(data)
    picture = data.find(b",\0\0\0\0")
    match rng.randrange(4):
        case 0:
            struct.pack_into("<H", out, rng.choice((6, 8)), rng.choice(ODD_NUMBERS[:14]))
        case 1 if 0 < picture < len(data) - 12:
            struct.pack_into("<H", out, picture + rng.choice((1, 3, 5, 7)), rng.choice(ODD_NUMBERS[:14]))
        case 2 if 0 < picture < len(data) - 12:
            out[picture + rng.choice((9, 10))] = rng.randrange(256)
        case _:
            out[10] = rng.randrange(256)
    return bytes(out)


def webp(rng: Random, data: bytes) -> bytes:
    """A chunk changed with its length right, doubled, renamed or left out."""
    chunks, at = [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    if not chunks:
        return flip_bits(rng, data)
    which = rng.randrange(len(chunks))
    kind, body = chunks[which]
    match rng.randrange(5):
        case 0:
            chunks.insert(which, (kind, body))
        case 1:
            del chunks[which]
        case 2:
            chunks[which] = (rng.choice((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF")), body)
        case 3:
            flags = bytes((rng.randrange(256), 0, 0, 0)) + rng.choice(ODD_NUMBERS[:16]).to_bytes(3, "little") * 2
            chunks.insert(0, (b"VP8X", flags))
        case _:
            chunks[which] = (kind, rng.choice(GENERAL)(rng, body))
    body = b"".join(k + struct.pack("<I", len(b)) + b + b"\0" * (len(b) % 2) for k, b in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


# ---------------------------------------------------------------------------------------------------- PDF

_NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")
_REFERENCE = re.compile(rb"\d+ 0 R")
_NAME = re.compile(rb"/[A-Za-z0-9]+")
_ODD_PDF = (
    b"0",
    b"-1",
    b"1e9",
    b"99999999999",
    b"2147483647",
    b"-2147483648",
    b"0.00001",
    b"200000",
    b"14400",
    b"4294967296",
)
_NAMES = (
    b"/FlateDecode", b"/LZWDecode", b"/ASCII85Decode", b"/ASCIIHexDecode", b"/RunLengthDecode", b"/CCITTFaxDecode", b"/JBIG2Decode",
    b"/JPXDecode", b"/DCTDecode", b"/Indexed", b"/DeviceCMYK", b"/DeviceGray", b"/Separation", b"/ICCBased", b"/Pattern", b"/Type3",
    b"/Kids", b"/Parent", b"/Contents", b"/Length", b"/SMask", b"/Rotate", b"/UserUnit", b"/XObject", b"/Encrypt", b"/ObjStm",
)  # fmt: skip


def pdf(rng: Random, data: bytes) -> bytes:
    """A number, a reference (loops of pages and objects too), a name, an object left out, doubled or opened up."""
    pattern, others = rng.choice(
        ((_NUMBER, _ODD_PDF), (_REFERENCE, tuple(b"%d 0 R" % n for n in (1, 2, 4, 10, 20, 21, 99))), (_NAME, _NAMES))
    )
    found = list(pattern.finditer(data))
    match rng.randrange(6):
        case 0:
            objects = list(re.finditer(rb"\d+ 0 obj.*?endobj", data, re.S))
            if objects:
                which = rng.choice(objects)
                return data[: which.start()] + rng.choice((b"", which[0] * 3)) + data[which.end() :]
        case 1:  # a page tree that contains itself, or very many times the same page
            kids = rng.choice((b"[2 0 R]", b"[20 0 R 2 0 R]", b"[" + b"20 0 R " * rng.choice((10, 3000)) + b"]"))
            return re.sub(rb"/Kids\[.*?\]", lambda _: b"/Kids" + kids, data, count=1, flags=re.S)
        case 2:  # the drawing itself
            at = data.find(b"stream\n")
            if at > 0:
                words = (
                    b"q ",
                    b"Q ",
                    b"BT ",
                    b"ET ",
                    b"1e9 0 0 1e9 0 0 cm ",
                    b"/I Do ",
                    b"re ",
                    b"f* ",
                    b"W n ",
                    b"/S sh ",
                    b"BI ID EI ",
                    b"(x) Tj ",
                )
                more = b"".join(rng.choice(words) for _ in range(rng.choice((1, 5, 400))))
                return data[: at + 7] + more + data[at + 7 :]
    if not found:
        return flip_bits(rng, data)
    which = rng.choice(found)
    return data[: which.start()] + rng.choice(others) + data[which.end() :]


BY_FORMAT: dict[str, Mutator] = {
    "png": png, "jpg": jpeg, "mpo": jpeg, "tiff": tiff, "bmp": bmp, "gif": gif, "webp": webp, "pdf": pdf,
}  # fmt: skip


def mutated(rng: Random, form: str, data: bytes, others: list[bytes]) -> bytes:
    """`data`, a file of that format, damaged once to four times; now and then spliced with one of `others`."""
    knows = BY_FORMAT[form]
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if rng.random() < 0.6:
            try:
                data = knows(rng, data)
            except (struct.error, zlib.error, IndexError, ValueError):  # damaged before
                data = flip_bits(rng, data)
        else:
            data = rng.choice(GENERAL)(rng, data)
    if rng.random() < 0.03:
        other = rng.choice(others)
        data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
    return data[:MOST_BYTES]
