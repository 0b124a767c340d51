"""A generic CTC recogniser, driven by the registry's rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models import ctc
from ocrfarm_models.ctc import LineText
from ocrfarm_models.line_image import columns, padded_columns, resize_line, to_batch
from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import InputRule, ModelSpec
from ocrfarm_shared.errors import ModelUnavailable

# Columns x lines of one batch. A convolution's memory grows with it, and on one core a larger batch reads no faster.
_BUDGET = 1280


class Recognizer:
    """Reads lines."""

    def __init__(self, spec: ModelSpec, session: Session) -> None:
        """Raises ModelUnavailable where the model's outputs are neither `index` and `confidence` nor probabilities."""
        self.spec = spec
        self._session = session
        self._classes = ctc.charset(spec, session.metadata)
        names = session.output_names
        if "index" in names and "confidence" in names:
            self._outputs: tuple[int, int] | None = names.index("index"), names.index("confidence")
        elif len(names) == 1:
            self._outputs = None
        else:
            raise ModelUnavailable(f"{spec.id} gives {', '.join(names)}; a recogniser gives index and confidence.")

    @classmethod
    def open(cls, spec: ModelSpec, *, threads: int = 1) -> Recognizer:
        """Open and warm the model. Raises ModelUnavailable."""
        recognizer = cls(spec, Session(spec.path, threads=threads))
        recognizer.read([np.full((32, 64, 3), 255, np.uint8)])
        return recognizer

    def read(self, crops: Sequence[NDArray[np.uint8]], *, min_columns: int = 0) -> list[LineText]:
        """The text of each uint8 HxWx3 BGR (or HxW grey) crop, in the order given, one answer a crop.

        What a line reads as does not depend on the lines that it is read with. `min_columns` pads narrower lines to so many
        columns at once, for a caller who knows that he has single words; otherwise only a doubtful line gets the room
        (`DoubtRule`).
        """
        rule, doubt = self.spec.input, self.spec.doubt
        rule = replace(rule, min_width=max(min_columns, rule.min_width))
        answers = self._read_all(crops, rule)
        again = [
            n
            for n, (crop, answer) in enumerate(zip(crops, answers, strict=True))
            if answer.confidence < doubt.below and padded_columns(_filled(crop, rule), rule) < doubt.width
        ]
        second = self._read_all([crops[n] for n in again], replace(rule, min_width=doubt.width))
        for n, answer in zip(again, second, strict=True):
            answers[n] = answer
        return answers

    def _read_all(self, crops: Sequence[NDArray[np.uint8]], rule: InputRule) -> list[LineText]:
        answers: dict[int, LineText] = {}
        for group in batches([_filled(crop, rule) for crop in crops], rule):
            lines = [resize_line(crops[n], rule) for n in group]
            for number, answer in zip(group, self._read_batch(lines, rule), strict=True):
                assert number not in answers, "a line was read twice"
                answers[number] = answer
        assert len(answers) == len(crops), "one answer a crop"
        return [answers[n] for n in range(len(crops))]

    def _read_batch(self, lines: Sequence[NDArray[np.uint8]], rule: InputRule) -> list[LineText]:
        tensor = to_batch(lines, rule)
        padded = tensor.shape[3 if rule.layout == "NCHW" else 2]
        out = self._session.run(tensor)
        index, sure = ctc.reduce(out[0]) if self._outputs is None else (out[self._outputs[0]], out[self._outputs[1]])
        assert index.shape[0] == len(lines), "the model gave back another number of lines"
        return [
            ctc.decode(i, c, self._classes, blank=self.spec.blank, model=self.spec.id, filled=line.shape[1] / padded)
            for i, c, line in zip(index, sure, lines, strict=True)
        ]

    def close(self) -> None:
        """Release the model's memory."""
        self._session.close()


def _filled(crop: NDArray[np.uint8], rule: InputRule) -> int:
    return columns(crop.shape[0], crop.shape[1], rule)


def batches(widths: Sequence[int], rule: InputRule, budget: int = _BUDGET) -> Iterator[list[int]]:
    """Numbers of the lines that are read together: equal when padded, no more than `budget` padded columns a batch.

    Lines of other widths are never mixed: padding changes what a network sees, and a line would read otherwise in other
    company. A line wider than the budget is a batch of its own.
    """
    group: list[int] = []
    for number in sorted(range(len(widths)), key=widths.__getitem__):
        width = padded_columns(widths[number], rule)
        if group and (width != padded_columns(widths[group[0]], rule) or width * (len(group) + 1) > budget):
            yield group
            group = []
        group.append(number)
    if group:
        yield group
