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


@dataclass(frozen=True)
class Prepared:
    """The image to look for text in (uint8, BGR), and where the page's origin lies in it, in pixels."""

    image: Pixels
    left: int = 0
    top: int = 0


def prepare(image: Pixels) -> Prepared:
    """The page, framed above and below where it is a mere strip. `image` is uint8 (height, width, 3) BGR."""
    height, width = image.shape[:2]
    if height > _STRIP_HEIGHT and width <= _STRIP_RATIO * height:
        return Prepared(image)
    wanted = 2 * max(int(width / _STRIP_RATIO), _STRIP_HEIGHT)
    pad = max((wanted - height) // 2, 0)
    ground = [float(v) for v in np.median(np.concatenate([image[0], image[-1]]), axis=0)]
    framed = cv2.copyMakeBorder(image, pad, pad, 0, 0, cv2.BORDER_CONSTANT, value=ground)
    return Prepared(framed.astype(np.uint8, copy=False), top=pad)
