"""A generic CTC recogniser, driven by the registry's rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ocrfarm_models import ctc, graph, outputs, windows
from ocrfarm_models.certain_lines import AT_ONCE, Unjudged, judged
from ocrfarm_models.ctc import LineText
from ocrfarm_models.line_image import closer, columns, padded_columns, resize_line, to_batch
from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import InputRule, ModelSpec
from ocrfarm_shared.errors import ModelUnavailable

# Columns x lines of one batch. A convolution's memory grows with it, and on one core a larger batch reads no faster.
_BUDGET = 1280


class Recognizer:
    """Reads lines. `judges_by_company`: confidence, and in doubt a text, may differ a little by the lines that one is read with."""

    def __init__(self, spec: ModelSpec, session: Session) -> None:
        """Raises ModelUnavailable where the model's outputs are neither `index` and `confidence` nor probabilities."""
        self.spec = spec
        self._session = session
        self._classes = ctc.charset(spec, session.metadata)
        names = session.output_names
        if "index" in names and "confidence" in names:
            self._outputs: tuple[int, int] | None = names.index("index"), names.index("confidence")
        elif len(names) == 1 or spec.output.name in names:
            self._outputs = None
            self._raw = names.index(spec.output.name) if spec.output.name in names else 0
        else:
            raise ModelUnavailable(f"{spec.id} gives {', '.join(names)}; a recogniser gives index and confidence.")
        self._grid: windows.Grid | None = None
        self.judges_by_company = False
        # Where all probabilities lie, if the model gives them: certainty needs them.
        self._posterior = names.index("posterior") if "posterior" in names else None

    @classmethod
    def open(cls, spec: ModelSpec, *, threads: int = 1) -> Recognizer:
        """Open and warm the model. Raises ModelUnavailable."""
        model = shown(spec) if spec.certainty.version else spec.path
        recognizer = cls(spec, Session(model, name=spec.id, threads=threads))
        recognizer.judges_by_company = graph.scaled_as_it_runs(onnx.load(spec.path, load_external_data=False))
        recognizer.read([np.full((32, 64, 3), 255, np.uint8)])
        return recognizer

    def read(self, crops: Sequence[NDArray[np.uint8]], *, loose: bool = False, apart: bool = False) -> list[LineText]:
        """The text of each uint8 HxWx3 BGR (or HxW grey) crop, in the order given, one answer a crop.

        What a line reads as does not depend on the lines that it is read with, but for a model that `judges_by_company`.
        A doubtful line that is short gets more room (`DoubtRule`). `loose` crops are as the detector cuts them, with paper around the
        writing (`InputRule.trim`). `apart` crops have nothing to do with each other: one that `judges_by_company` sees each of them alone.
        """
        if loose:
            crops = [closer(crop, self.spec.input) for crop in crops]
        rule, doubt = self.spec.input, self.spec.doubt
        alone = apart and self.judges_by_company
        answers = self._read_all(crops, rule, alone)
        again = [
            n
            for n, (crop, answer) in enumerate(zip(crops, answers, strict=True))
            if answer.confidence < doubt.below and padded_columns(_filled(crop, rule), rule) < doubt.width
        ]
        second = self._read_all([crops[n] for n in again], replace(rule, min_width=doubt.width), alone)
        for n, answer in zip(again, second, strict=True):
            answers[n] = answer
        return answers

    def _read_all(self, crops: Sequence[NDArray[np.uint8]], rule: InputRule, alone: bool) -> list[LineText]:
        answers: dict[int, LineText] = {}
        waiting: dict[int, LineText | Unjudged] = {}
        gathered = 0  # columns of those that wait to be judged
        widths = [_filled(crop, rule) for crop in crops]
        for group in ([n] for n in range(len(crops))) if alone else batches(widths, rule):
            lines = [resize_line(crops[n], rule) for n in group]
            for number, answer in zip(group, self._read_batch(lines, rule), strict=True):
                assert number not in answers, "a line was read twice"
                assert number not in waiting, "a line was read twice"
                waiting[number] = answer
                gathered += len(answer.index) if isinstance(answer, Unjudged) else 0
            if gathered >= AT_ONCE:
                answers |= zip(waiting, judged(list(waiting.values()), self.spec), strict=True)
                waiting, gathered = {}, 0
        answers |= zip(waiting, judged(list(waiting.values()), self.spec), strict=True)
        assert len(answers) == len(crops), "one answer a crop"
        return [answers[n] for n in range(len(crops))]

    def _read_batch(self, lines: Sequence[NDArray[np.uint8]], rule: InputRule) -> Sequence[LineText | Unjudged]:
        if rule.overlap and lines[0].shape[1] > rule.width:
            return [self._read_long(line, rule) for line in lines]
        tensor = to_batch(lines, rule)
        padded = tensor.shape[rule.layout.index("W")]
        out = self._run(tensor)
        index, sure = self._best(out)
        assert index.shape[0] == len(lines), "the model gave back another number of lines"
        texts = [
            ctc.decode(i, c, self._classes, blank=self.spec.blank, model=self.spec.id, filled=line.shape[1] / padded)
            for i, c, line in zip(index, sure, lines, strict=True)
        ]
        if not self.spec.certainty.version or self._posterior is None:
            return texts
        return [
            Unjudged(text, every, best, line.shape[1])
            for text, every, best, line in zip(texts, out[self._posterior], index, lines, strict=True)
        ]

    def _read_long(self, line: NDArray[np.uint8], rule: InputRule) -> LineText:
        """One line that is longer than the model is wide, through windows."""
        if self._grid is None:
            first, _ = self._best(self._run(to_batch([line[:, : rule.width]], rule)))
            self._grid = windows.Grid(rule.width, first.shape[1], rule.overlap)
        grid, starts = self._grid, self._grid.starts(line.shape[1])
        views = windows.pieces(line, starts, grid)
        at_once = max(1, _BUDGET // rule.width)
        read = [
            one
            for n in range(0, len(views), at_once)
            for one in zip(*self._best(self._run(to_batch(views[n : n + at_once], rule))), strict=True)
        ]
        index, sure = windows.join(read, starts, self.spec.blank)
        filled = min(1.0, line.shape[1] * grid.steps / (len(index) * rule.width))
        return ctc.decode(index, sure, self._classes, blank=self.spec.blank, model=self.spec.id, filled=filled)

    def _run(self, tensor: NDArray[np.float32]) -> list[NDArray[Any]]:
        """The model's outputs, in parts where its file fixes how many lines it takes at once."""
        size = self.spec.input.batch or len(tensor)
        parts = [self._session.run(tensor[n : n + size]) for n in range(0, len(tensor), size)]
        axis = 1 if self._outputs is None and self.spec.output.order == "TNC" else 0
        return parts[0] if len(parts) == 1 else [np.concatenate(out, axis) for out in zip(*parts, strict=True)]

    def _best(self, out: list[NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Class and confidence of every column, (N, T) each."""
        if self._outputs is None:
            return outputs.reduced(out[self._raw], self.spec.output)
        return out[self._outputs[0]], out[self._outputs[1]]

    def close(self) -> None:
        """Release the model's memory."""
        self._session.close()


def shown(spec: ModelSpec) -> bytes:
    """The model's file with the probabilities of all classes among its outputs. Raises ModelUnavailable."""
    try:
        return bytes(graph.show_posteriors(onnx.load(spec.path)).SerializeToString())
    except ValueError as err:
        raise ModelUnavailable(f"{spec.id} has a certainty in the registry, but {err}.") from None


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
