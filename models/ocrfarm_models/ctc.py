"""CTC decoding (Graves et al., 2006), the charset, and the one definition of confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Char:
    """One character that was read: where it lies, as fractions 0..1 of the crop's width, and how sure the model is."""

    char: str
    x_start: float
    x_end: float
    confidence: float


@dataclass(frozen=True)
class LineText:
    """What a recogniser read in one crop. No characters: nothing is written there (never: it failed)."""

    text: str
    confidence: float
    chars: tuple[Char, ...]
    model: str


def decode(
    index: NDArray[np.int64],
    confidence: NDArray[np.float32],
    charset: Sequence[str],
    *,
    blank: int,
    model: str,
    filled: float = 1.0,
) -> LineText:
    raise NotImplementedError
