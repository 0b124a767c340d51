"""The first readers of a profile: small models that read every line, and keep those that they are certain of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.certainty import expected_error
from ocrfarm_models.ctc import LineText
from ocrfarm_models.recognizer import Recognizer

UNREAD = LineText("", 0.0, (), "", 0.0)
"""What stands for a line that no first reader was asked about."""

# So many lines of a page are asked first; where a reader is certain of none, the page is not in its script.
PROBES = 8
# A line is not kept with a word that is less likely right than this, however long the line, and however little a word is of it.
_LEAST_WORD = 0.7


@dataclass(frozen=True)
class FirstReader:
    """A model of the cascade, and what share of a line's characters may be expected to be wrong where it keeps the line (0..1)."""

    recognizer: Recognizer
    error: float


def read_first(
    crops: Sequence[NDArray[np.uint8]], readers: Sequence[FirstReader], *, loose: bool = False, apart: bool = False
) -> list[LineText]:
    """What the first readers say of each crop, in the order given; ask `settled` whether that is the last word.

    A line goes from reader to reader until one is certain. A reader that is certain of none of the page's first lines is
    not asked for the rest, unless the crops are `apart`. A line that no reader was asked about is UNREAD. `loose` and `apart`:
    Recognizer.read.
    """
    said = [UNREAD] * len(crops)
    left = list(range(len(crops)))
    for reader in readers:
        probes = [] if apart else left[:: max(1, len(left) // PROBES)][:PROBES]
        asked = set(probes)
        _ask(crops, probes, reader, said, loose, apart)
        if len(probes) == PROBES and not any(_kept(said[i], reader) for i in probes):
            continue
        _ask(crops, [i for i in left if i not in asked], reader, said, loose, apart)
        left = [i for i in left if not _kept(said[i], reader)]
    return said


def settled(line: LineText, readers: Sequence[FirstReader]) -> bool:
    """Whether the reader of this line was certain enough to keep it."""
    return any(reader.recognizer.spec.id == line.model and _kept(line, reader) for reader in readers)


def doubtful(line: LineText, readers: Sequence[FirstReader]) -> list[bool]:
    """Which words (`line.parts`) of a line that is not settled its reader is not certain enough of; empty where none is judged."""
    reader = next((r for r in readers if r.recognizer.spec.id == line.model), None)
    if reader is None:
        return []
    rule = reader.recognizer.spec.certainty
    return [expected_error(part.certainty, part.end - part.start, rule) > reader.error for part in line.parts]


def _kept(line: LineText, reader: FirstReader) -> bool:
    if not line.chars or line.certainty is None:
        return False
    if any(part.certainty < _LEAST_WORD for part in line.parts):
        return False
    return expected_error(line.certainty, len(line.chars), reader.recognizer.spec.certainty) <= reader.error


def _ask(
    crops: Sequence[NDArray[np.uint8]],
    which: Sequence[int],
    reader: FirstReader,
    said: list[LineText],
    loose: bool,
    apart: bool,
) -> None:
    read = reader.recognizer.read([crops[i] for i in which], loose=loose, apart=apart)
    for i, text in zip(which, read, strict=True):
        said[i] = text
