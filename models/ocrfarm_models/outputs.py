"""A recogniser's raw output as the class and the confidence of each column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models import ctc
from ocrfarm_models.spec import OutputRule


def reduced(raw: NDArray[Any], rule: OutputRule) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Class and probability of each column, int64 (N, T) and float32 (N, T), from (N, T, classes) or (T, N, classes).

    The probability of the likeliest class needs no softmax over all of them: it is 1 / sum(exp(x - max)). Raises ValueError where
    the output has not three axes.
    """
    if raw.ndim != 3:
        raise ValueError(f"a recogniser's output has lines, columns and classes, not the shape {raw.shape}")
    values = raw.astype(np.float32, copy=False)
    if rule.order == "TNC":
        values = values.transpose(1, 0, 2)
    index, best = ctc.reduce(values)
    if rule.activation == "logits":
        best = (1 / np.exp(values - best[..., None]).sum(axis=-1)).astype(np.float32)
    elif rule.activation == "log_softmax":
        best = np.exp(best)
    return index, best
