"""Small documents that tests make on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from typing import Any

from PIL import Image, ImageDraw, ImageFont

OPTIONS: dict[str, dict[str, Any]] = {"PDF": {"resolution": 100}, "TIFF": {"compression": "tiff_deflate"}}


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # Pillow's own face: no font need be installed


def page(text: str, *, width: int = 900, height: int = 300, size: int = 40) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).multiline_text((40, 40), text, fill="black", font=_font(size), spacing=20)
    return image


def png(text: str, **options: int) -> bytes:
    out = io.BytesIO()
    page(text, **options).save(out, "PNG")
    return out.getvalue()


def many_pages(texts: list[str], kind: str) -> bytes:
    """A PDF or TIFF with one page a text."""
    first, *rest = (page(text) for text in texts)
    out = io.BytesIO()
    first.save(out, kind, save_all=True, append_images=rest, **OPTIONS[kind])
    return out.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG, with its length and check sum (PNG specification, third edition, 5.3)."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(
    width: int,
    height: int,
    rows: Iterable[bytes],
    depth: int = 8,
    colour: int = 0,
    interlace: int = 0,
    *,
    pieces: int = 1,
    level: int = -1,
) -> bytes:
    """A PNG of these rows, each with its filter's byte, whether they fit its header or not; compressed, and in that many chunks."""
    squeeze = zlib.compressobj(level)
    packed = b"".join(squeeze.compress(row) for row in rows) + squeeze.flush()
    size = max(1, -(-len(packed) // pieces))
    parts = b"".join(png_chunk(b"IDAT", packed[at : at + size]) for at in range(0, len(packed), size))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + parts + png_chunk(b"IEND", b"")


def png_bomb() -> bytes:
    """20,000 x 20,000 black pixels in some 50 KB."""
    return raw_png(20_000, 20_000, (bytes(1 + 20_000 // 8) for _ in range(20_000)), depth=1, level=9)
