"""Where lines of text are: the detector's proposals in pixels of the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.engines import Engines
from ocrfarm_worker.preprocess import Prepared


@dataclass(frozen=True)
class Found:
    """One proposal: float32 (4, 2), clockwise, pixels of the page as sent, inside it; score 0..1."""

    polygon: NDArray[np.float32]
    score: float


def find_lines(page: Prepared, width: int, height: int, engines: Engines) -> list[Found]:
    """Lines of text on a page of `width` x `height` pixels, in no order. Empty: nothing is written there. Needs a detector."""
    assert engines.detector is not None, "a profile without a detector reads lines"
    origin = np.array([page.left, page.top], np.float32)
    limit = np.array([width, height], np.float32)
    found: list[Found] = []
    for region in engines.detector.detect(page.image):
        polygon = np.clip(region.polygon.astype(np.float32) - origin, 0, limit)
        if min(np.ptp(polygon[:, 0]), np.ptp(polygon[:, 1])) >= 2:
            found.append(Found(polygon.astype(np.float32), region.score))
    return found
