"""CTC decoding, the charset, and the one definition of confidence.

CTC (Graves et al., 2006, "Connectionist Temporal Classification") gives a class to every column of a line. Greedy decoding
takes the likeliest class of each column, joins neighbours that are equal into one run, and drops the runs of blank.

Confidence, everywhere in the farm:
    character   the highest probability that its class reaches within its run of columns
    word, line  the arithmetic mean over its characters, spaces among them; 0 where there is no character
    certainty   the probability that the whole line is right, where the model is calibrated for it (certainty.py): what a cascade
                settles lines by, because one wrong character makes a line wrong
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.spec import ModelSpec
from ocrfarm_shared.errors import ModelUnavailable


@dataclass(frozen=True)
class Char:
    """One character that was read: where it lies, as fractions 0..1 of the crop's width, and how sure the model is."""

    char: str
    x_start: float
    x_end: float
    confidence: float


@dataclass(frozen=True)
class WordSpan:
    """Neighbouring characters that make a word: fractions 0..1 of the crop's width, mean confidence."""

    text: str
    x_start: float
    x_end: float
    confidence: float


@dataclass(frozen=True)
class Part:
    """A word of a line: numbers of its first character and of the one after its last; the probability that it is right."""

    start: int
    end: int
    certainty: float


@dataclass(frozen=True)
class LineText:
    """What a recogniser read in one crop. No characters: nothing is written there (never: it failed).

    certainty   probability that the whole line is right; None where the model is not calibrated
    evidence    the numbers that certainty was made of (certainty.FEATURES); empty without characters
    parts       its words, where there are several, the model is calibrated, and the line is not clear as a whole
    """

    text: str
    confidence: float
    chars: tuple[Char, ...]
    model: str
    certainty: float | None = None
    evidence: tuple[float, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def weakest(self) -> float:
        """Confidence of the least sure character; 0 where there is none."""
        return min((c.confidence for c in self.chars), default=0.0)

    @cached_property
    def words(self) -> tuple[WordSpan, ...]:
        """The line's words: split at white space, and where Han, kana or hangul meets another script."""
        out: list[WordSpan] = []
        run: list[Char] = []
        for char in (*self.chars, None):
            ends = char is None or char.char.isspace() or (run and _is_cjk(run[-1].char) != _is_cjk(char.char))
            if ends and run:
                mean = sum(c.confidence for c in run) / len(run)
                out.append(WordSpan("".join(c.char for c in run), run[0].x_start, run[-1].x_end, mean))
                run = []
            if char is not None and not char.char.isspace():
                run.append(char)
        return tuple(out)


def _is_cjk(char: str) -> bool:
    """Scripts that are written without spaces; their punctuation goes with them."""
    return unicodedata.east_asian_width(char) in "WF"


def charset(spec: ModelSpec, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The text of every class of a recogniser, the blank's being "".

    `spec.charset` names the source: "metadata:<key>", a JSON list or one character a line in the ONNX file's metadata; or
    "file:<name>", UTF-8, one character a line, beside the model. Raises ModelUnavailable where it is missing.
    """
    source, _, name = spec.charset.partition(":")
    if source == "metadata" and name in metadata:
        text = metadata[name]
    elif source == "file" and (Path(spec.path).parent / name).is_file():
        text = (Path(spec.path).parent / name).read_text("utf8").removesuffix("\n")
    else:
        raise ModelUnavailable(
            f"The charset of {spec.id} ({spec.charset or 'not named'}) is missing; get the model's file again."
        )
    # Never str.splitlines(): it also splits at U+0085 and U+2028, which a charset may hold.
    chars: list[str] = list(json.loads(text)) if text.startswith("[") and text.endswith("]") else text.split("\n")
    if spec.space:
        chars.append(" ")
    chars.insert(spec.blank, "")
    return tuple(chars)


def reduce(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Class and probability of each column: float32 (..., T, classes) -> int64 (..., T), float32 (..., T)."""
    return probabilities.argmax(axis=-1).astype(np.int64, copy=False), probabilities.max(axis=-1)


def runs(index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First column, and the column after the last, of each run of equal classes in (T,) columns, blank's among them."""
    starts = np.flatnonzero(np.concatenate(([True], index[1:] != index[:-1])))
    return starts, np.append(starts[1:], len(index))


def decode(
    index: NDArray[np.int64],
    confidence: NDArray[np.float32],
    classes: Sequence[str],
    *,
    blank: int,
    model: str,
    filled: float = 1.0,
) -> LineText:
    """Greedy CTC decoding of one line.

    index, confidence   (T,): likeliest class of each column and its probability
    classes             text of every class (of `charset`)
    filled              share of the T columns that the crop fills; the rest is padding

    A CTC model marks a character in a column or two somewhere near its middle, so that a character reaches half way to its
    neighbours, and the outer ones as far out as they reach in. Raises ValueError where the shapes do not agree.
    """
    if index.ndim != 1 or index.shape != confidence.shape:
        raise ValueError(f"one class and one confidence a column, not {index.shape} and {confidence.shape}")
    steps = index.shape[0]
    if steps == 0:
        return LineText("", 0.0, (), model)
    starts, ends = runs(index)
    best = np.maximum.reduceat(confidence, starts)
    kept = index[starts] != blank
    if not kept.any():
        return LineText("", 0.0, (), model)
    middles = (starts[kept] + ends[kept]) / (2 * steps * filled)
    gaps = np.diff(middles) / 2
    left = np.concatenate((gaps[:1], gaps)) if gaps.size else middles
    right = np.concatenate((gaps, gaps[-1:])) if gaps.size else 1 - middles
    x0, x1 = np.clip(middles - left, 0, 1).tolist(), np.clip(middles + right, 0, 1).tolist()
    sure = np.clip(best[kept], 0, 1).tolist()
    chars = tuple(map(Char, (classes[i] for i in index[starts][kept].tolist()), x0, x1, sure))
    return LineText("".join(c.char for c in chars), sum(sure) / len(sure), chars, model)
