"""What is done to a page before text is looked for: as little as pays.

No binarising, no sharpening, no deskewing: the detector and the recogniser were trained on pages as they come, and a slanted
line is straightened by its own crop. What pays is room: a strip of text that fills its image has no edge to be found by.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# Wider than this, or lower, and the image is set into a frame before text is looked for (as RapidOCR does).
_STRIP_RATIO = 8.0
_STRIP_HEIGHT = 30
# A frame grows with the square of a strip's width: that of 40,000 pixels by 100 would take 1.2 GB, and leave the detector, which sees two
# megapixels of any page, nothing of the text. Those are looked at as they are.
_MOST_FRAMED = 40_000_000

# One line is at most so many pixels high, and at least so many times as wide as high.
_LINE_HEIGHT = 128
_LINE_RATIO = 2.0
# Between two rows of text the strokes thin out to less than this part of the weaker row's. Measured over 800 lines and words
# and 660 pairs of them set one above the other: 0.6 and more within a line (the scenes apart), under 0.5 between lines.
_VALLEY = 0.65
# A row this faint beside the strongest is noise, not text.
_FAINT = 0.08


@dataclass(frozen=True)
class Prepared:
    """The image to look for text in (uint8, BGR), and where the page's origin lies in it, in pixels."""

    image: Pixels
    left: int = 0
    top: int = 0


def prepare(image: Pixels) -> Prepared:
    """The page, framed above and below where it is a mere strip (and not of tens of thousands of pixels).

    `image` is uint8 (height, width, 3) BGR."""
    height, width = image.shape[:2]
    wanted = 2 * max(int(width / _STRIP_RATIO), _STRIP_HEIGHT)
    if (height > _STRIP_HEIGHT and width <= _STRIP_RATIO * height) or width * wanted > _MOST_FRAMED:
        return Prepared(image)
    pad = max((wanted - height) // 2, 0)
    ground = [float(v) for v in np.median(np.concatenate([image[0], image[-1]]), axis=0)]
    framed = cv2.copyMakeBorder(image, pad, pad, 0, 0, cv2.BORDER_CONSTANT, value=ground)
    return Prepared(framed.astype(np.uint8, copy=False), top=pad)


def is_line(image: Pixels) -> bool:
    """Whether an image (uint8, BGR) is plainly one line or word: low, wide, and its strokes in one row without a valley."""
    height, width = image.shape[:2]
    return height <= _LINE_HEIGHT and width >= _LINE_RATIO * height and _valley(image) >= _VALLEY


def _valley(image: Pixels) -> float:
    """The deepest valley in the rows' amount of upright strokes, as a part of the lower of the peaks beside it; 1: none."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    height, width = grey.shape
    if height > _LINE_HEIGHT // 2:
        size = (max(1, round(width * _LINE_HEIGHT / 2 / height)), _LINE_HEIGHT // 2)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    strokes = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3)).mean(axis=1)
    window = max(3, len(strokes) // 16 * 2 + 1)
    if len(strokes) < window:
        return 1.0
    rows = np.convolve(strokes, np.full(window, 1 / window), "same")
    rows = np.maximum(rows - np.quantile(rows, 0.05), 0)
    peaks = np.minimum(np.maximum.accumulate(rows), np.maximum.accumulate(rows[::-1])[::-1])
    inside = peaks > _FAINT * rows.max()
    return float((rows[inside] / peaks[inside]).min()) if inside.any() else 1.0
