"""Text direction: which lines stand on their head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.line_image import resize_line, to_batch
from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import ModelSpec

# More lines in a batch read no faster on one core, and hold more memory.
_BATCH = 8


class DirectionClassifier:
    """Tells lines turned by 180 degrees from upright ones."""

    def __init__(self, spec: ModelSpec, session: Session) -> None:
        self.spec = spec
        self._session = session

    @classmethod
    def open(cls, spec: ModelSpec, *, threads: int = 1) -> DirectionClassifier:
        """Open and warm the model. Raises ModelUnavailable."""
        classifier = cls(spec, Session(spec.path, name=spec.id, threads=threads))
        classifier.flipped([np.full((48, 192, 3), 255, np.uint8)])
        return classifier

    def flipped(self, crops: Sequence[NDArray[np.uint8]]) -> list[bool]:
        """For each uint8 HxWx3 BGR crop, in the order given: True where it stands on its head.

        Only an answer surer than the registry's threshold turns a line: a wrong turn loses the line.
        """
        answers: list[bool] = []
        for start in range(0, len(crops), _BATCH):
            part = [resize_line(crop, self.spec.input) for crop in crops[start : start + _BATCH]]
            (probabilities,) = self._session.run(to_batch(part, self.spec.input))
            answers.extend((probabilities[:, 1] > self.spec.threshold).tolist())
        assert len(answers) == len(crops), "one answer a crop"
        return answers

    def close(self) -> None:
        """Release the model's memory."""
        self._session.close()
