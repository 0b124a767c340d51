"""The real recogniser: what it reads, order, company, batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ocrfarm_models import ctc, registry
from ocrfarm_models.line_image import closer, padded_columns, resize_line, to_batch
from ocrfarm_models.recognizer import Recognizer, batches
from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import DoubtRule, InputRule
from ocrfarm_shared.errors import ModelUnavailable

DrawLine = Callable[..., NDArray[np.uint8]]
TEXTS = ["Invoice No. 20417", "ok", "The quick brown fox jumps over the lazy dog", "12.50", "Received with thanks", "A"]


@pytest.mark.parametrize("which", ["recognizer", "recognizer_int8"])
def test_print_is_read_in_the_order_given(which: str, request: pytest.FixtureRequest, draw_line: DrawLine) -> None:
    opened: Recognizer = request.getfixturevalue(which)
    read = opened.read([draw_line(text) for text in TEXTS])
    assert [line.text for line in read] == TEXTS
    assert all(line.confidence > 0.8 and line.model == opened.spec.id for line in read)


def test_a_line_reads_the_same_in_any_company(recognizer: Recognizer, draw_line: DrawLine) -> None:
    crops = [draw_line(text, size) for text in TEXTS for size in (18, 40)]
    alone = [recognizer.read([crop])[0] for crop in crops]
    together = recognizer.read(crops)
    assert [line.text for line in together] == [line.text for line in alone]
    assert [line.confidence for line in together] == pytest.approx([line.confidence for line in alone], abs=1e-3)


def test_a_long_line_is_read_to_its_end(recognizer: Recognizer, draw_line: DrawLine) -> None:
    text = " ".join(f"word{n}" for n in range(30))
    assert recognizer.read([draw_line(text)])[0].text == text


def test_characters_lie_where_they_were_drawn(recognizer: Recognizer, draw_line: DrawLine) -> None:
    left, gap, right = draw_line("left", 32), 120, draw_line("right", 32)
    high = max(left.shape[0], right.shape[0])
    crop = np.full((high, left.shape[1] + gap + right.shape[1], 3), 255, np.uint8)
    crop[: left.shape[0], : left.shape[1]] = left
    crop[: right.shape[0], -right.shape[1] :] = right
    first, *_, last = recognizer.read([crop])[0].words
    assert (first.text, last.text) == ("left", "right")
    assert first.x_end * crop.shape[1] == pytest.approx(left.shape[1], abs=gap / 2)
    assert last.x_start * crop.shape[1] == pytest.approx(left.shape[1] + gap, abs=gap / 2)


def test_no_lines_and_empty_paper(recognizer: Recognizer) -> None:
    assert recognizer.read([]) == []
    assert recognizer.read([np.full((40, 200, 3), 255, np.uint8)])[0].text == ""


def test_a_doubtful_short_line_is_read_again_with_room(recognizer: Recognizer, draw_line: DrawLine) -> None:
    crop = draw_line("ok")
    wide = replace(recognizer.spec, doubt=DoubtRule(), input=replace(recognizer.spec.input, min_width=320))
    roomy = Recognizer(wide, recognizer._session).read([crop])[0]
    never = Recognizer(replace(recognizer.spec, doubt=DoubtRule()), recognizer._session).read([crop])[0]
    always = Recognizer(replace(recognizer.spec, doubt=DoubtRule(1.1, 320)), recognizer._session).read([crop])[0]
    assert never.confidence != roomy.confidence
    assert always == roomy


def test_reduced_in_the_graph_is_reduced_outside(recognizer: Recognizer, draw_line: DrawLine) -> None:
    """The reduced file gives what the original file's probabilities reduce to."""
    entry = registry.row("ppocrv6-rec")
    original = Session(registry.source_path(entry))
    tensor = to_batch([resize_line(draw_line(TEXTS[2]), entry.input)], entry.input)
    (probabilities,) = original.run(tensor)
    index, confidence = ctc.reduce(probabilities)
    answer = dict(zip(recognizer._session.output_names, recognizer._session.run(tensor), strict=True))
    assert (answer["index"] == index).all()
    assert np.abs(answer["confidence"] - confidence).max() < 1e-3
    whole = Recognizer(replace(recognizer.spec, path=registry.source_path(entry)), original)
    assert whole.read([draw_line(TEXTS[2])])[0].text == TEXTS[2]


def test_a_model_with_other_outputs_is_refused(recognizer: Recognizer) -> None:
    model = onnx.load(recognizer.spec.path)
    model.graph.output.append(onnx.helper.make_tensor_value_info("reduce_value", onnx.TensorProto.FLOAT, None))
    del model.graph.output[0]
    with pytest.raises(ModelUnavailable, match="index and confidence"):
        Recognizer(recognizer.spec, Session(model.SerializeToString()))


@given(st.lists(st.integers(1, 3000), max_size=60), st.integers(32, 4000))
def test_batches_hold_every_line_once_and_keep_to_the_budget(widths: list[int], budget: int) -> None:
    rule = InputRule(height=48, multiple=32, margin=16)
    groups = list(batches(widths, rule, budget))
    assert sorted(n for group in groups for n in group) == list(range(len(widths)))
    for group in groups:
        padded = {padded_columns(widths[n], rule) for n in group}
        assert len(padded) == 1
        assert len(group) == 1 or padded.pop() * len(group) <= budget


def test_loose_crops_are_read_closer_by_a_model_that_learnt_so(recognizer: Recognizer, draw_line: DrawLine) -> None:
    """As if its sender had cut it closer; a crop that is not the detector's is read as it is."""
    crop = draw_line("Received with thanks", margin=20)
    close = Recognizer(replace(recognizer.spec, input=replace(recognizer.spec.input, trim=0.2)), recognizer._session)
    assert close.read([crop], loose=True) == recognizer.read([closer(crop, close.spec.input)])
    assert close.read([crop]) == recognizer.read([crop]) == recognizer.read([crop], loose=True)
    assert close.read([crop]) != close.read([crop], loose=True)
