"""How likely a line was read without a mistake: what a cascade settles lines by.

A mean over characters says how the average character stands; a line is wrong by its worst one, by a character that was left out
between two, or by all of them where the script is another. So certainty asks the whole line:

    text     the probability of the text itself, summed over all ways in which CTC may spell it (Graves et al., 2006, section 4.1;
             the forward recursion), as log-odds
    weakest  the least sure character, as log-odds
    length   the logarithm of the number of characters
    width    columns of the crop (at the model's height) a character: signs of another script are wide and few

and a logistic function of these four, fitted on lines whose text is known (training/calibrate.py), gives the probability that
the line is right. Its few numbers stand in the model's row of the registry, and in cache keys by the row's version.

A cascade asks how many characters of a line will be wrong, not whether one is: a slip in a word of five letters spoils a fifth of it,
one in a line of sixty a sixtieth. `expected_error` is that share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.spec import CertaintyRule

FEATURES = ("text", "weakest", "length", "width")
# Log-odds are cut here: beyond one in ten thousand, a softmax in 8 bits says nothing.
_LIMIT = 1e-4
# Columns are brought back to scale after so many: the smallest float64 is far away.
_RESCALE = 16
# `slips` is counted on lines of which the model is more certain.
LIKELY = 0.5


def text_probability(
    posteriors: NDArray[np.float32], texts: Sequence[NDArray[np.int64]], blank: int = 0
) -> NDArray[np.float64]:
    """Probability of each line's text over all its spellings: float64 (N,).

    posteriors  float32 (N, T, classes), each column a distribution
    texts       N lines, each the classes of its characters, without blanks
    """
    lines, steps, _ = posteriors.shape
    if lines != len(texts):
        raise ValueError(f"{lines} lines of posteriors and {len(texts)} texts")
    states = 2 * max((len(text) for text in texts), default=0) + 1
    spelling = np.full((lines, states), blank, np.int64)
    for row, text in zip(spelling, texts, strict=True):
        row[1 : 2 * len(text) : 2] = text
    # From a character straight to the next one, the blank between them left out: allowed where the two differ.
    skips = np.zeros((lines, states), np.float64)
    skips[:, 2:] = (spelling[:, 2:] != blank) & (spelling[:, 2:] != spelling[:, :-2])
    emitted = np.take_along_axis(posteriors, spelling[:, None, :], axis=2).astype(np.float64)
    # What lies beyond the end of a shorter text is no state of it: mass that gathered there would drown its own.
    ends = np.array([2 * len(text) for text in texts])
    emitted *= (np.arange(states) <= ends[:, None])[:, None, :]
    alpha = np.zeros((lines, states + 2), np.float64)  # two columns of nothing before the first state
    alpha[:, 2 : min(4, states + 2)] = emitted[:, 0, :2]
    scale = np.zeros(lines)
    for step in range(1, steps):
        inner = alpha[:, 2:] + alpha[:, 1:-1]
        inner += skips * alpha[:, :-2]
        inner *= emitted[:, step]
        alpha[:, 2:] = inner
        if step % _RESCALE == 0:
            total = np.maximum(alpha.sum(axis=1, keepdims=True), 1e-300)
            alpha /= total
            scale += np.log(total[:, 0])
    rows = np.arange(lines)
    last = alpha[rows, ends + 2] + np.where(ends > 0, alpha[rows, ends + 1], 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(np.log(last) + scale))


def evidence(text: float, weakest: float, characters: int, filled: float) -> tuple[float, float, float, float]:
    """The four numbers (`FEATURES`) of one line; `filled` is the columns that its crop fills in the model's tensor."""
    return log_odds(text), log_odds(weakest), math.log(characters), filled / characters


def probability(values: Sequence[float], rule: CertaintyRule) -> float:
    """Probability 0..1 that the line is right, from its features."""
    weights = (rule.text, rule.weakest, rule.length, rule.width)
    return 1 / (1 + math.exp(-(rule.bias + sum(w * v for w, v in zip(weights, values, strict=True)))))


def expected_error(certainty: float, characters: int, rule: CertaintyRule) -> float:
    """Return the share 0..1 of a line's characters that is expected to be wrong.

    1 for a line without characters, and for one that is as likely wrong as right: how much of such a line is wrong was never counted.
    """
    if not characters or certainty <= LIKELY:
        return 1.0
    return min(1.0, (1 - certainty) * rule.slips / characters)


def log_odds(share: float) -> float:
    """log(p / (1 - p)), cut where 8 bits say nothing more."""
    share = min(max(share, _LIMIT), 1 - _LIMIT)
    return math.log(share / (1 - share))
