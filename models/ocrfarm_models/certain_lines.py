"""Certainty of the lines of one batch, and of each of their words (certainty.py says what it means).

A word is judged with the spaces beside it: a space may lie in any column between two words, so that a word cut out at one of them
would lose what lies on its other side. The rule is the lines': a line of one word is a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models import certainty, ctc
from ocrfarm_models.ctc import LineText, Part
from ocrfarm_models.spec import ModelSpec

# No cascade asks more of a line: the words of a clearer one are not looked at one by one.
_CLEAR = 0.98
# Columns x states of the recursion that are looked at together, and columns: a step costs hardly more for many lines or words than for
# one, and memory grows with them: 12 bytes a state of a column, 4 a class of it.
_ROOM, AT_ONCE = 2_000_000, 16_384


@dataclass(frozen=True)
class Unjudged:
    """A line that was read, and what its certainty is made of.

    posterior   float32 (T, classes), each column a distribution
    index       (T,): likeliest class of each column
    filled      columns of the tensor that the crop fills
    """

    text: LineText
    posterior: NDArray[np.float32]
    index: NDArray[np.int64]
    filled: int


def judged(lines: Sequence[LineText | Unjudged], spec: ModelSpec) -> list[LineText]:
    """The lines, those that were not judged yet with their certainty; whether they were read in one batch or each alone."""
    out = {n: line for n, line in enumerate(lines) if isinstance(line, LineText)}
    rest = {n: line for n, line in enumerate(lines) if isinstance(line, Unjudged)}
    sizes = {n: (len(line.index), len(line.text.chars)) for n, line in rest.items()}
    for some, columns in _groups(sizes):
        out |= zip(some, _judged_at_once([rest[n] for n in some], columns, spec), strict=True)
    return [out[n] for n in range(len(lines))]


def _groups(sizes: Mapping[int, tuple[int, int]]) -> Iterator[tuple[list[int], int]]:
    """Which of them are looked at together, and how many columns the longest has; `sizes`: columns and characters of each."""
    some: list[int] = []
    widest = longest = 0
    for n in sorted(sizes, key=sizes.__getitem__, reverse=True):
        columns, characters = max(widest, sizes[n][0]), max(longest, sizes[n][1])
        at_once = (len(some) + 1) * columns
        if some and (at_once > AT_ONCE or at_once * (2 * characters + 1) > _ROOM):
            yield some, widest
            some, (columns, characters) = [], sizes[n]
        some.append(n)
        widest, longest = columns, characters
    if some:
        yield some, widest


def _judged_at_once(lines: Sequence[Unjudged], columns: int, spec: ModelSpec) -> list[LineText]:
    posteriors = _padded([line.posterior for line in lines], columns, spec.blank)
    index = np.full((len(lines), columns), spec.blank, np.int64)
    for row, line in zip(index, lines, strict=True):
        row[: len(line.index)] = line.index
    return certain([line.text for line in lines], posteriors, index, [line.filled for line in lines], spec)


def _padded(views: Sequence[NDArray[np.float32]], columns: int, blank: int) -> NDArray[np.float32]:
    """Posteriors (T, classes) of several widths side by side, (N, columns, classes): columns more of blank change no spelling."""
    out = np.zeros((len(views), columns, views[0].shape[1]), np.float32)
    out[:, :, blank] = 1.0
    for row, view in zip(out, views, strict=True):
        row[: len(view)] = view
    return out


def certain(
    texts: Sequence[LineText],
    posteriors: NDArray[np.float32],
    index: NDArray[np.int64],
    filled: Sequence[int],
    spec: ModelSpec,
) -> list[LineText]:
    """The lines with their evidence and certainty, and the parts of those of several words that are not clear.

    posteriors  float32 (N, T, classes), each column a distribution
    index       (N, T): likeliest class of each column
    filled      columns of the tensor that each crop fills
    """
    runs = [_runs(row, spec.blank) for row in index]
    shares = certainty.text_probability(posteriors, [classes for _, _, classes in runs], spec.blank)
    out = []
    for text, share, wide in zip(texts, shares, filled, strict=True):
        evidence = certainty.evidence(float(share), text.weakest, len(text.chars), wide) if text.chars else ()
        sure = certainty.probability(evidence, spec.certainty) if evidence else 0.0
        out.append(replace(text, certainty=sure, evidence=evidence))
    return _with_parts(out, posteriors, runs, filled, spec)


Runs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _runs(row: NDArray[np.int64], blank: int) -> Runs:
    """First column, column after the last, and class of each character: (characters,) each."""
    starts, ends = ctc.runs(row)
    kept = row[starts] != blank
    return starts[kept], ends[kept], row[starts][kept]


def spans(text: LineText) -> list[tuple[int, int]]:
    """Character numbers, first and one after the last, of each word between white space."""
    out, start = [], None
    for number, char in enumerate((*text.chars, None)):
        inside = char is not None and not char.char.isspace()
        if inside and start is None:
            start = number
        elif not inside and start is not None:
            out.append((start, number))
            start = None
    return out


def _shares(
    views: Sequence[NDArray[np.float32]], classes: Sequence[NDArray[np.int64]], blank: int
) -> NDArray[np.float64]:
    """Probability of each word's text in its columns, (words,): words of like width together."""
    shares = np.zeros(len(views))
    for some, columns in _groups({n: (len(view), len(classes[n])) for n, view in enumerate(views)}):
        room = _padded([views[n] for n in some], columns, blank)
        shares[some] = certainty.text_probability(room, [classes[n] for n in some], blank)
    return shares


def _with_parts(
    texts: Sequence[LineText],
    posteriors: NDArray[np.float32],
    runs: Sequence[Runs],
    filled: Sequence[int],
    spec: ModelSpec,
) -> list[LineText]:
    """The lines of the batch, those that are not clear with their words."""
    lines = [
        (n, words) for n, text in enumerate(texts) if (text.certainty or 0.0) < _CLEAR and len(words := spans(text)) > 1
    ]
    if not lines:
        return list(texts)
    views, classes, owners = [], [], []
    for n, words in lines:
        first, after, said = runs[n]
        for start, end in words:
            low, high = max(0, start - 1), min(len(said), end + 1)  # with the spaces beside it
            begin = int(after[low - 1]) if low else 0
            stop = int(first[high]) if high < len(said) else posteriors.shape[1]
            views.append(posteriors[n, begin:stop])
            classes.append(said[low:high])
            owners.append((n, start, end, min(c.confidence for c in texts[n].chars[low:high])))
    out = list(texts)
    parts: dict[int, list[Part]] = {n: [] for n, _ in lines}
    shares = _shares(views, classes, spec.blank)
    for (n, start, end, weakest), share in zip(owners, shares, strict=True):
        chars = texts[n].chars
        wide = (chars[end - 1].x_end - chars[start].x_start) * filled[n]
        evidence = certainty.evidence(float(share), weakest, end - start, wide)
        parts[n].append(Part(start, end, certainty.probability(evidence, spec.certainty)))
    for n, found in parts.items():
        out[n] = replace(texts[n], parts=tuple(found))
    return out
