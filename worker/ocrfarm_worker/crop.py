"""Regions to upright crops, and places in a crop back to pixels of the page.

A crop is told by its four corners on the page, given clockwise from the text's own top left. Turning the text is turning the
list of corners, so that one mapping serves lines that stand, lie or stand on their head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Corners = NDArray[np.float32]

# A region so much higher than wide holds a line that runs down the page (PP-OCR's rule).
TALL = 1.5
# Corners within this of an upright rectangle are cut out, not warped: half a pixel is under what resizing blurs.
_UPRIGHT = 0.75


@dataclass(frozen=True)
class Crop:
    """One region, rectified.

    image    uint8 (height, width, 3) BGR; may be a view into the page
    corners  float32 (4, 2), pixels of the page: the crop's top left, top right, bottom right, bottom left
    tall     whether the region was higher than wide, and was turned to be read from its right side
    flipped  whether it was turned by 180 degrees besides
    loose    whether the detector cut it, with paper around the writing; a picture that was sent as one line is as its sender cut it
    """

    image: Pixels
    corners: Corners
    tall: bool = False
    flipped: bool = False
    loose: bool = False


def whole(image: Pixels) -> Crop:
    """The whole image as one crop: no detection."""
    height, width = image.shape[:2]
    return Crop(image, np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32))


def rectify(image: Pixels, polygon: Corners) -> Crop:
    """The region of a page (uint8, BGR) as an upright crop.

    `polygon` is float32 (4, 2), clockwise, pixels of the page. A region 1.5 times as high as wide is turned by 90 degrees
    counter-clockwise, as if its text ran downwards.
    """
    width, height = _extent(polygon)
    tall = height >= TALL * width
    corners = np.roll(polygon, -1, axis=0) if tall else polygon
    return Crop(_warp(image, corners), corners, tall=tall, loose=True)


def flip(crop: Crop) -> Crop:
    """The crop turned by 180 degrees."""
    return replace(
        crop,
        image=cv2.rotate(crop.image, cv2.ROTATE_180).astype(np.uint8, copy=False),
        corners=np.roll(crop.corners, -2, axis=0),
        flipped=not crop.flipped,
    )


def turn(crop: Crop) -> Crop:
    """The crop turned by 90 degrees counter-clockwise."""
    return replace(
        crop,
        image=cv2.rotate(crop.image, cv2.ROTATE_90_COUNTERCLOCKWISE).astype(np.uint8, copy=False),
        corners=np.roll(crop.corners, -1, axis=0),
        tall=not crop.tall,
    )


def stand(crop: Crop) -> Crop:
    """The crop of a tall region as the region stands on the page."""
    for _ in range(1 if crop.flipped else 3):
        crop = turn(crop)
    return replace(crop, flipped=False)


def part(corners: Corners, start: float, end: float) -> list[tuple[float, float]]:
    """The polygon on the page of a crop's columns from `start` to `end` (fractions 0..1 of its width), to a tenth pixel."""
    top, bottom = corners[1] - corners[0], corners[2] - corners[3]
    points = (corners[0] + start * top, corners[0] + end * top, corners[3] + end * bottom, corners[3] + start * bottom)
    return [(round(float(x), 1), round(float(y), 1)) for x, y in points]


def _extent(corners: Corners) -> tuple[float, float]:
    """Width and height: the longer of each two opposite edges."""
    edges = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    return float(max(edges[0], edges[2])), float(max(edges[1], edges[3]))


def _warp(image: Pixels, corners: Corners) -> Pixels:
    cut = _cut(image, corners)
    if cut is not None:
        return cut
    width, height = (max(round(v), 1) for v in _extent(corners))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    # Corners are edges of pixels, and warping takes centres: half a pixel lies between.
    half = np.float32(0.5)
    matrix = cv2.getPerspectiveTransform(corners - half, target - half)
    out = cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return out.astype(np.uint8, copy=False)


def _cut(image: Pixels, corners: Corners) -> Pixels | None:
    """The crop by slicing, where its corners are those of an upright rectangle in any of the four turns; else None."""
    low, high = np.rint(corners.min(axis=0)).astype(int), np.rint(corners.max(axis=0)).astype(int)
    (x0, y0), (x1, y1) = low, high
    box = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
    if x1 <= x0 or y1 <= y0:
        return None
    for turns in range(4):
        if np.abs(np.roll(box, -turns, axis=0) - corners).max() <= _UPRIGHT:
            return np.ascontiguousarray(np.rot90(image[y0:y1, x0:x1], turns)) if turns else image[y0:y1, x0:x1]
    return None
