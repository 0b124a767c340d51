"""A generic CTC recogniser, driven by the registry's rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.ctc import LineText
from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import ModelSpec


class Recognizer:
    """Reads lines."""

    def __init__(self, spec: ModelSpec, session: Session) -> None:
        self.spec = spec
        self._session = session

    @classmethod
    def open(cls, spec: ModelSpec, *, threads: int = 1) -> Recognizer:
        """Open and warm the model. Raises ModelUnavailable."""
        return cls(spec, Session(spec.path, threads=threads))

    def read(self, crops: Sequence[NDArray[np.uint8]]) -> list[LineText]:
        """The text of each uint8 HxWx3 BGR (or HxW grey) crop, in the order given, one answer a crop."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the model's memory."""
        self._session.close()
