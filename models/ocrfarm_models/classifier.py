"""Text direction: which lines stand on their head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import ModelSpec


class DirectionClassifier:
    """Tells lines turned by 180 degrees from upright ones."""

    def __init__(self, spec: ModelSpec, session: Session) -> None:
        self.spec = spec
        self._session = session

    @classmethod
    def open(cls, spec: ModelSpec, *, threads: int = 1) -> DirectionClassifier:
        """Open and warm the model. Raises ModelUnavailable."""
        return cls(spec, Session(spec.path, threads=threads))

    def flipped(self, crops: Sequence[NDArray[np.uint8]]) -> list[bool]:
        """For each uint8 HxWx3 BGR crop, in the order given: True where it stands on its head."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the model's memory."""
        self._session.close()
