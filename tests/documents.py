"""Small documents that tests make on the spot."""

from __future__ import annotations

import io
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
