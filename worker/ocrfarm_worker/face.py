"""Which way a page's text stands: a scan may lie on its side or stand on its head, and a line may do so among others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ocrfarm_models.engines import Engines
from ocrfarm_worker.crop import TALL, Crop, Pixels, flip, turn

Rotation = Literal[0, 90, 180, 270]

# So many lines of a page are asked which way they stand, those nearest to the shape that the classifier knows, and the page is
# believed, not the line: of upright lines, the classifier turns one in twenty on its head.
_WITNESSES = 6
_KNOWN_SHAPE = 4
# Where the classifier is not sure about a page, so many lines are read both ways.
_READ_BOTH_WAYS = 3


def face(crops: Sequence[Crop], engines: Engines) -> list[Crop]:
    """The crops of one page, all of them turned by 180 degrees where most stand on their head; order and number stay.

    Lines that run across the page and lines that run down it are asked apart. A single line that stands otherwise than its
    page is found by how badly it reads (`read`).
    """
    out = list(crops)
    lying = sideways(crops)
    if lying:
        # Regions too square to tell lie as the page does.
        out = [turn(crop) if not crop.tall and shape(crop) < TALL else crop for crop in out]
    for tall in (False, True):
        group = [i for i, crop in enumerate(out) if crop.tall == tall]
        witnesses = sorted(group, key=lambda i: abs(math.log(shape(out[i]) / _KNOWN_SHAPE)))[:_WITNESSES]
        if _on_their_head([out[i] for i in witnesses], engines, thorough=tall == lying):
            for i in group:
                out[i] = flip(out[i])
    return out


def sideways(crops: Sequence[Crop]) -> bool:
    """Whether most of a page's text (by length) runs down it."""
    lengths = [crop.image.shape[1] if crop.tall else -crop.image.shape[1] for crop in crops]
    return int(sum(lengths)) > 0


def rotation(crops: Sequence[Crop]) -> Rotation:
    """Degrees clockwise by which the page must be turned for most of its text (by length) to stand upright."""
    votes: dict[Rotation, float] = {0: 0.0, 90: 0.0, 180: 0.0, 270: 0.0}
    for crop in crops:
        turned: Rotation = (90 if crop.flipped else 270) if crop.tall else (180 if crop.flipped else 0)
        votes[turned] += crop.image.shape[1]
    return max(votes, key=lambda turned: (votes[turned], -turned))


def _on_their_head(witnesses: list[Crop], engines: Engines, *, thorough: bool) -> bool:
    """Whether most of these lines stand on their head, by the classifier.

    Where it is not sure and the page's way hangs on them (`thorough`), some are read both ways.
    """
    if engines.classifier is None or not witnesses:
        return False
    pieces = [piece(crop.image) for crop in witnesses]
    down = sum(engines.classifier.flipped(pieces))
    # It is sure of what it turns, not of what it leaves: ask it about the upright ones by turning them.
    up = sum(engines.classifier.flipped([np.ascontiguousarray(piece[::-1, ::-1]) for piece in pieces]))
    if max(up, down) >= 2 * min(up, down) + 2:
        return down > up
    if not thorough:
        return False
    some = witnesses[:_READ_BOTH_WAYS]
    read_up = engines.recognizer.read([crop.image for crop in some], loose=True)
    read_down = engines.recognizer.read([flip(crop).image for crop in some], loose=True)
    return sum(line.confidence for line in read_down) > sum(line.confidence for line in read_up)


def piece(image: Pixels) -> Pixels:
    """The middle of a long line: the classifier would squeeze the whole of it, and miss one in four."""
    height, width = image.shape[:2]
    spare = max((width - _KNOWN_SHAPE * height) // 2, 0)
    return image[:, spare : width - spare]


def shape(crop: Crop) -> float:
    """Width by height, as it is read."""
    height, width = crop.image.shape[:2]
    return float(width / height)
