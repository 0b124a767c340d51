"""Text as ink: a string and a face become a coverage mask with its letter boxes. No colours and no warps yet."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw

from ocrfarm_models.training.faces import SIZE, Face, load


def fit(text: str, face: Face) -> str | None:
    """Return `text` as this face can print it (capitals for a face without small letters), or None."""
    if face.unicase:
        text = "".join(c.upper() if len(c.upper()) == 1 else c for c in text)
    return text if all(c in face.covers or c == " " for c in text) else None


def ink(
    text: str,
    face: Face,
    rng: random.Random,
    spacing: float = 0.0,
    wobble: float = 0.0,
    shrink: float = 1.0,
    gap: float = 1.0,
) -> np.ndarray:
    """Draw `text`: uint8 H x W, 0 is paper and 255 ink, cropped to the ink with a margin of 2 pixels.

    `spacing` is extra advance in ems (negative: touching letters); `wobble` moves letters up and down by that many ems;
    `shrink` draws all letters after the first at this scale (small capitals, as on signs); `gap` is how wide a space is, to the font's own
    (justified lines).
    """
    font = load(face.path)
    if not spacing and not wobble and shrink == gap == 1.0:
        mask, _offset = font.getmask2(text, mode="L")
        if not mask.size[0] or not mask.size[1]:
            return np.zeros((0, 0), np.uint8)
        return np.pad(np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0]), 2)
    advances = [font.getlength(c) * (gap if c == " " else 1.0) for c in text]
    canvas = Image.new("L", (int(sum(advances) + abs(spacing) * SIZE * len(text)) + SIZE * 2, SIZE * 3))
    draw = ImageDraw.Draw(canvas)
    small = font.font_variant(size=max(8, int(SIZE * shrink))) if shrink != 1.0 else font
    x = float(SIZE)
    for i, (char, advance) in enumerate(zip(text, advances, strict=True)):
        y = SIZE * 2 + wobble * SIZE * rng.uniform(-1, 1)
        draw.text((x, y), char, font=small if i else font, fill=255, anchor="ls")
        x += (advance * (shrink if i else 1.0)) + spacing * SIZE
    box = canvas.getbbox()
    if box is None:
        return np.zeros((0, 0), np.uint8)
    return np.pad(np.asarray(canvas.crop(box)), 2)
