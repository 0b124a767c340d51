"""A generic DB text detector, driven by the registry's rule.

Source: Liao et al., 2020, "Real-time Scene Text Detection with Differentiable Binarization": the network's output is a map
of shrunken text regions; each connected part becomes the smallest rectangle around it, grown back by `unclip`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import ModelSpec


@dataclass(frozen=True)
class Region:
    """A proposal: polygon float32 (4, 2), clockwise from the text's top left, pixels of the image given; score 0..1."""

    polygon: NDArray[np.float32]
    score: float


class Detector:
    """Finds lines of text in an image."""

    def __init__(self, spec: ModelSpec, session: Session) -> None:
        self.spec = spec
        self._session = session

    @classmethod
    def open(cls, spec: ModelSpec, *, threads: int = 1) -> Detector:
        """Open and warm the model. Raises ModelUnavailable."""
        return cls(spec, Session(spec.path, threads=threads))

    def detect(self, image_bgr: NDArray[np.uint8]) -> list[Region]:
        """Regions of text in a uint8 HxWx3 BGR image, in no order. An empty list: nothing is written here."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the model's memory."""
        self._session.close()
