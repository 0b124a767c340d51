"""From crops to text: what the lines say, and where their words are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ocrfarm_models.cascade import UNREAD, doubtful, read_first, settled
from ocrfarm_models.ctc import Char, LineText
from ocrfarm_models.engines import Engines
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_shared.contracts import Line, Word
from ocrfarm_worker.crop import TALL, Crop, flip, part, stand, turn
from ocrfarm_worker.face import piece, shape, sideways
from ocrfarm_worker.piecework import Piece, cut_out, lacks_a_space, pieces, put_back, words_of

# A line read with less than this may stand on its head: upright lines read with 0.95 and more, turned ones with 0.6 to 0.9.
_DOUBTFUL = 0.9
# The other way must read this much better to be believed.
_BETTER = 0.1
# A high region that is not higher than so many times its width may be a lone upright letter or figure.
_STUB = 3.0
# A line read with less is read again by the profile's fallback, whose answer counts. In 8 bits, 19 of 20 words that full
# precision reads right and 8 bits do not are below this: so much is asked of a picture of a line or word.
_UNSURE = 0.95
# Of a page's line less: between the two lies half of what is read again, and full precision reads it no better.
_UNSURE_OF_A_PAGE = 0.85
# A piece of a line that is read with less, even then, may have been cut amiss: its line is read as a whole.
_LOST = 0.8


@dataclass(frozen=True)
class Reading:
    """One crop, as it was finally turned, and what was read in it."""

    crop: Crop
    text: LineText


def read(crops: Sequence[Crop], engines: Engines, *, orientation: bool) -> list[Reading]:
    """What each crop says, in the order given. With `orientation`, doubtful lines are tried in other ways as well."""
    down = sideways(crops)
    first = _first(crops, engines, down)
    readings = [Reading(crop, text) for crop, text in zip(crops, first, strict=True)]
    left = _mended(readings, engines)
    again = _read([crops[i] for i in left], engines, orientation=orientation, down=down)
    for i, reading in zip(left, _again_if_unsure(again, [first[i] for i in left], engines), strict=True):
        readings[i] = reading
    return readings


def _first(crops: Sequence[Crop], engines: Engines, down: bool) -> list[LineText]:
    """By the profile's first readers, lines that run as the page does (`down`: from top to bottom); the others, signs that stand one
    above the other among them, are left to the recogniser."""
    said = [UNREAD] * len(crops)
    if not engines.first:
        return said
    along = [i for i, crop in enumerate(crops) if crop.tall == down]
    for i, text in zip(
        along, read_first([crops[i].image for i in along], engines.first, loose=_loose(crops)), strict=True
    ):
        said[i] = text
    return said


def _ask(recognizer: Recognizer, crops: Sequence[Crop]) -> list[LineText]:
    loose = _loose(crops)
    return recognizer.read([crop.image for crop in crops], loose=loose, apart=not loose)


def _loose(crops: Sequence[Crop]) -> bool:
    """A page's crops are all the detector's; pictures of a line, which have nothing to do with each other, are none of them."""
    return any(crop.loose for crop in crops)


def _mended(readings: list[Reading], engines: Engines) -> list[int]:
    """Put into `readings` the lines of which a few words were doubtful, those read by the recogniser; return the numbers of the lines
    that are to be read as a whole. A line that lacks a space is one of them: the words beside it are sure, and wrong."""
    close = {i for i, reading in enumerate(readings) if lacks_a_space(reading.crop.image, reading.text)}
    left = [i for i, reading in enumerate(readings) if i in close or not settled(reading.text, engines.first)]
    work: list[tuple[int, Piece]] = [
        (i, one)
        for i in left
        if i not in close
        for one in pieces(readings[i].crop.image, readings[i].text, doubtful(readings[i].text, engines.first))
    ]
    if not work:
        return left
    crops = [cut_out(readings[i].crop, one) for i, one in work]
    before = [words_of(readings[i].text, one) for i, one in work]
    read: dict[int, list[tuple[Piece, LineText]]] = {}
    for (i, one), reading in zip(
        work, _again_if_unsure(_read(crops, engines, orientation=False), before, engines), strict=True
    ):
        read.setdefault(i, []).append((one, reading.text))
    for i, parts in read.items():
        if all(text.confidence >= _LOST for _, text in parts):
            reading = readings[i]
            readings[i] = Reading(reading.crop, put_back(reading.text, reading.crop.image.shape[1], parts))
            left.remove(i)
    return left


def _read(crops: Sequence[Crop], engines: Engines, *, orientation: bool, down: bool = False) -> list[Reading]:
    """By the profile's recogniser alone. `down`: the page's lines run from top to bottom, as far as is known of all of them."""
    readings = [Reading(crop, text) for crop, text in zip(crops, _ask(engines.recognizer, crops), strict=True)]
    if not orientation or engines.classifier is None:
        return readings
    unsure = [i for i, reading in enumerate(readings) if reading.text.confidence < _DOUBTFUL]
    said = engines.classifier.flipped([piece(readings[i].crop.image) for i in unsure])
    again = [i for i, turned in zip(unsure, said, strict=True) if turned]
    readings = _better(readings, again, [flip(readings[i].crop) for i in again], engines)
    if down:
        return readings
    stubs = [i for i, reading in enumerate(readings) if reading.crop.tall and shape(reading.crop) < _STUB]
    return _better(readings, stubs, [stand(readings[i].crop) for i in stubs], engines, margin=0.0)


def read_wholes(crops: Sequence[Crop], engines: Engines, *, orientation: Sequence[bool]) -> list[Reading]:
    """What each image says that is one line or word. In doubt it is tried upside down, and from both sides where it is high.

    The images have nothing to do with each other, and none is read otherwise for another's sake. The classifier is not asked: it misses
    one in four that stand on their head. A profile without one reads upright lines alone.
    """
    first = [UNREAD] * len(crops)
    if engines.first:
        first = read_first([crop.image for crop in crops], engines.first, apart=True)
    out = [Reading(crop, text) for crop, text in zip(crops, first, strict=True)]
    left = _mended(out, engines)
    readings = _read([crops[i] for i in left], engines, orientation=False)
    if engines.classifier is not None:
        unsure = [n for n, i in enumerate(left) if orientation[i] and readings[n].text.confidence < _DOUBTFUL]
        high = [n for n in unsure if crops[left[n]].image.shape[0] >= TALL * crops[left[n]].image.shape[1]]
        readings = _better(readings, unsure, [flip(crops[left[n]]) for n in unsure], engines)
        readings = _better(readings, high, [turn(crops[left[n]]) for n in high], engines)
        readings = _better(readings, high, [flip(turn(crops[left[n]])) for n in high], engines)
    for i, reading in zip(left, _again_if_unsure(readings, [first[i] for i in left], engines), strict=True):
        out[i] = reading
    return out


def _again_if_unsure(readings: list[Reading], first: Sequence[LineText], engines: Engines) -> list[Reading]:
    """The readings, those that the recogniser is unsure of replaced by the fallback's (a cascade).

    Two unlike models that read the same are right together: such a line is not read a third time. Spaces that the second
    dropped come back (`_with_spaces`).
    """
    out = list(readings)
    if engines.fallback is not None:
        unsure = [
            i
            for i, (reading, before) in enumerate(zip(readings, first, strict=True))
            if reading.text.confidence < (_UNSURE_OF_A_PAGE if reading.crop.loose else _UNSURE)
            and not _agree(reading.text, before)
        ]
        for i, text in zip(unsure, _ask(engines.fallback, [out[i].crop for i in unsure]), strict=True):
            out[i] = Reading(out[i].crop, text)
    return [
        Reading(reading.crop, _with_spaces(reading.text, before)) for reading, before in zip(out, first, strict=True)
    ]


def _agree(text: LineText, before: LineText) -> bool:
    """Whether the second reader says what the first said, but for spaces that it dropped."""
    signs, spaces = _spaces(text)
    signs_before, spaces_before = _spaces(before)
    return bool(before.chars) and signs == signs_before and spaces.keys() <= spaces_before.keys()


def _spaces(text: LineText) -> tuple[str, dict[int, Char]]:
    """The signs between the spaces, and each space by the number of signs before it."""
    signs = "".join(c.char for c in text.chars if not c.char.isspace())
    spaces: dict[int, Char] = {}
    count = 0
    for char in text.chars:
        if char.char.isspace():
            spaces[count] = char
        else:
            count += 1
    return signs, spaces


def _with_spaces(text: LineText, before: LineText) -> LineText:
    """The reading with spaces that the first reader saw besides, where they agree on all else: of lines of documents on which the two
    differ, the large recogniser drops a space in one of five, the small one in one of twenty."""
    signs, spaces = _spaces(text)
    signs_before, spaces_before = _spaces(before)
    more = spaces_before.keys() - spaces.keys() - {0, len(signs)}
    if signs != signs_before or not more:
        return text
    chars: list[Char] = []
    count = 0
    for char in text.chars:
        if not char.char.isspace():
            if count in more:
                chars.append(spaces_before[count])
            count += 1
        chars.append(char)
    said, sure = "".join(c.char for c in chars), sum(c.confidence for c in chars) / len(chars)
    return replace(text, text=said, chars=tuple(chars), confidence=sure)


def _better(
    readings: list[Reading], which: list[int], crops: list[Crop], engines: Engines, margin: float = _BETTER
) -> list[Reading]:
    """The readings, those named in `which` replaced where the other crop reads better by more than `margin`."""
    out = list(readings)
    if which:
        for i, crop, text in zip(which, crops, _ask(engines.recognizer, crops), strict=True):
            if text.confidence > out[i].text.confidence + margin:
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
        certainty=None if reading.text.certainty is None else _share(reading.text.certainty),
    )


def _share(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4)
