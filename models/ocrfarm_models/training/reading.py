"""Read line pictures with a torch network, as the serving side does with ONNX Runtime: sorted by width, order restored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ocrfarm_models.line_image import resize_line, to_batch
from ocrfarm_models.training.alphabet import Alphabet
from ocrfarm_models.training.rule import LINE_RULE


@dataclass(frozen=True)
class Reading:
    """One line's text and the confidence of its least certain character, 0..1 (0 for an empty reading)."""

    text: str
    confidence: float


def confidence_of(path: np.ndarray, sure: np.ndarray) -> float:
    """Return the least of the characters' probabilities: `path` int T (classes), `sure` float T; 0.0 where nothing was read
    (the farm's rule, `ctc.LineText.weakest`)."""
    keeps = (path > 0) & (path != np.concatenate([[0], path[:-1]]))
    return float(sure[keeps].min()) if keeps.any() else 0.0


class Reader:
    """A network in evaluation mode with its alphabet."""

    def __init__(self, network: torch.nn.Module, alphabet: Alphabet, columns: int = 8192) -> None:
        self.network, self.alphabet, self.columns = network.eval(), alphabet, columns

    @torch.no_grad()
    def read(self, crops: Sequence[np.ndarray]) -> list[Reading]:
        """Read uint8 crops of any size; one reading a crop, in the order given."""
        lines = [resize_line(crop, LINE_RULE) for crop in crops]
        order = sorted(range(len(lines)), key=lambda i: lines[i].shape[1])
        out: list[Reading | None] = [None] * len(lines)
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and lines[order[stop]].shape[1] * (stop + 1 - start) <= self.columns:
                stop += 1
            part = order[start:stop]
            best = self.network(torch.from_numpy(to_batch([lines[i] for i in part], LINE_RULE))).softmax(2).max(2)
            for i, sure, path in zip(part, best.values.numpy(), best.indices.numpy(), strict=True):
                out[i] = Reading(self.alphabet.decode(path), confidence_of(path, sure))
            start = stop
        return [r for r in out if r is not None]
