"""From crops to text: which way the lines stand, what they say, and where their words are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ocrfarm_models.ctc import LineText
from ocrfarm_models.engines import Engines
from ocrfarm_shared.contracts import Line, Word
from ocrfarm_worker.crop import TALL, Crop, flip, part, turn

# So many lines of a page are asked which way they stand, those nearest to the shape that the classifier knows best, and the
# page is believed, not the line: measured on upright lines, the classifier turns one in twenty on its head.
_WITNESSES = 12
_BEST_SHAPE = 5.0
# A line read with less than this may stand on its head: upright lines read with 0.95 and more, turned ones with 0.6 to 0.9.
_DOUBTFUL = 0.9
# The other way must read this much better to be believed.
_BETTER = 0.1


@dataclass(frozen=True)
class Reading:
    """One crop, as it was finally turned, and what was read in it."""

    crop: Crop
    text: LineText


def face(crops: Sequence[Crop], engines: Engines) -> list[Crop]:
    """The crops of one page, all of them turned by 180 degrees where most stand on their head; order and number stay.

    Lines that run across the page and lines that run down it are asked apart. A single line that stands otherwise than its
    page is found by how badly it reads (`read`).
    """
    out = list(crops)
    if engines.classifier is None:
        return out
    for tall in (False, True):
        group = [i for i, crop in enumerate(crops) if crop.tall == tall]
        witnesses = sorted(group, key=lambda i: abs(math.log(_shape(crops[i]) / _BEST_SHAPE)))[:_WITNESSES]
        said = engines.classifier.flipped([crops[i].image for i in witnesses])
        if 2 * sum(said) > len(said):
            for i in group:
                out[i] = flip(crops[i])
    return out


def _shape(crop: Crop) -> float:
    height, width = crop.image.shape[:2]
    return float(width / height)


def read(crops: Sequence[Crop], engines: Engines, *, orientation: bool) -> list[Reading]:
    """What each crop says, in the order given. With `orientation`, doubtful lines are tried upside down as well."""
    readings = [
        Reading(crop, text)
        for crop, text in zip(crops, engines.recognizer.read([crop.image for crop in crops]), strict=True)
    ]
    if not orientation or engines.classifier is None:
        return readings
    doubtful = [i for i, reading in enumerate(readings) if reading.text.confidence < _DOUBTFUL]
    said = engines.classifier.flipped([readings[i].crop.image for i in doubtful])
    again = [i for i, down in zip(doubtful, said, strict=True) if down]
    return _better(readings, again, [flip(readings[i].crop) for i in again], engines)


def read_whole(crop: Crop, engines: Engines, *, orientation: bool) -> Reading:
    """What an image says that is one line or word. In doubt it is tried upside down, and from both sides where it is high.

    The classifier is not asked: it sees a long line squeezed to a fifth, and misses one in four that stand on their head.
    """
    (reading,) = read([crop], engines, orientation=False)
    if not orientation or reading.text.confidence >= _DOUBTFUL:
        return reading
    height, width = crop.image.shape[:2]
    others = [flip(crop)] + ([turn(crop), flip(turn(crop))] if height >= TALL * width else [])
    for other in others:
        (reading,) = _better([reading], [0], [other], engines)
    return reading


def _better(readings: list[Reading], which: list[int], crops: list[Crop], engines: Engines) -> list[Reading]:
    """The readings, those named in `which` replaced where the other crop reads better."""
    out = list(readings)
    if which:
        for i, crop, text in zip(which, crops, engines.recognizer.read([c.image for c in crops]), strict=True):
            if text.confidence > out[i].text.confidence + _BETTER:
                out[i] = Reading(crop, text)
    return out


def to_line(reading: Reading) -> Line:
    """A reading as the wire's line: polygons in pixels of the page."""
    corners = reading.crop.corners
    return Line(
        text=reading.text.text.strip(),
        confidence=_share(reading.text.confidence),
        polygon=part(corners, 0.0, 1.0),
        words=[
            Word(
                text=word.text,
                confidence=_share(word.confidence),
                polygon=part(corners, word.x_start, word.x_end),
            )
            for word in reading.text.words
        ],
        model=reading.text.model,
    )


def _share(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4)
