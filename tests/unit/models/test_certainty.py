"""Certainty: the probability of a text over all its spellings, and what is made of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ocrfarm_models import certainty, graph, registry
from ocrfarm_models.certainty import expected_error
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import CertaintyRule

DrawLine = Callable[..., NDArray[np.uint8]]


def spelled(posterior: NDArray[np.float32], text: tuple[int, ...]) -> float:
    """The probability by trying every path: what the forward recursion must come to."""
    total = 0.0
    for path in itertools.product(range(posterior.shape[1]), repeat=posterior.shape[0]):
        if tuple(c for c, _ in itertools.groupby(path) if c) == text:
            total += float(np.prod([posterior[t, c] for t, c in enumerate(path)]))
    return total


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**31),
    st.lists(st.lists(st.integers(1, 2), max_size=4), min_size=1, max_size=3),
    st.integers(1, 6),
)
def test_the_forward_recursion_is_the_sum_over_all_paths(seed: int, texts: list[list[int]], steps: int) -> None:
    posteriors = np.random.default_rng(seed).dirichlet(np.ones(3), (len(texts), steps)).astype(np.float32)
    found = certainty.text_probability(posteriors, [np.array(t, np.int64) for t in texts])
    assert found == pytest.approx([spelled(p, tuple(t)) for p, t in zip(posteriors, texts, strict=True)], abs=1e-6)


def test_long_lines_keep_their_scale() -> None:
    posteriors = np.full((1, 2000, 2), 0.5, np.float32)
    posteriors[0, :, 1], posteriors[0, :, 0] = 0.001, 0.999
    sure = certainty.text_probability(posteriors, [np.empty(0, np.int64)])
    assert sure[0] == pytest.approx(0.999**2000, rel=1e-3)
    assert certainty.text_probability(posteriors, [np.ones(900, np.int64)])[0] < 1e-200


def test_texts_must_be_as_many_as_the_lines() -> None:
    with pytest.raises(ValueError, match="2 lines of posteriors and 1 texts"):
        certainty.text_probability(np.ones((2, 3, 2), np.float32), [np.ones(1, np.int64)])


def test_certainty_is_a_probability_that_grows_with_the_evidence() -> None:
    rule = CertaintyRule(1, bias=0.0, text=1.0, weakest=0.5, length=0.0, width=-0.01)
    said = [certainty.probability(certainty.evidence(p, p, 10, 100), rule) for p in (0.0, 0.2, 0.5, 0.9, 1.0)]
    assert said == sorted(said)
    assert 0 < said[0] < 0.01 < 0.99 < said[-1] < 1


def test_what_can_be_a_first_reader_is_calibrated() -> None:
    assert registry.row("crnn-en").certainty.version > 0


@pytest.fixture(scope="module")
def crnn() -> Recognizer:
    return Recognizer.open(registry.resolve("crnn-en"))


def test_the_file_is_served_with_all_its_probabilities(crnn: Recognizer, draw_line: DrawLine) -> None:
    spec = registry.resolve("crnn-en")
    plain = Recognizer(spec, Session(spec.path))
    crops = [draw_line("Received with thanks"), draw_line("12.50")]
    assert [line.text for line in crnn.read(crops)] == [line.text for line in plain.read(crops)]
    assert [line.certainty for line in plain.read(crops)] == [None, None]


def test_clear_print_is_certain_and_other_scripts_are_not(crnn: Recognizer, draw_line: DrawLine) -> None:
    clear = crnn.read([draw_line("Total amount")])[0]
    assert clear.text == "Total amount"
    assert clear.certainty is not None
    assert clear.certainty > 0.8
    head = crnn.read([np.ascontiguousarray(draw_line("Total amount")[::-1, ::-1])])[0]
    assert head.certainty is not None
    assert head.certainty < 0.1
    nothing = crnn.read([np.full((40, 200, 3), 255, np.uint8)])[0]
    assert (nothing.certainty or 0.0) < 0.5


def test_a_graph_without_one_softmax_is_refused() -> None:
    made = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["a"]), onnx.helper.make_node("Neg", ["x"], ["b"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [1])],
        [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in "ab"],
    )
    with pytest.raises(ValueError, match="one softmax"):
        graph.show_posteriors(onnx.helper.make_model(made))


def test_a_slip_weighs_more_in_a_word_than_in_a_line() -> None:
    rule = CertaintyRule(version=1, slips=1.5)
    assert expected_error(0.9, 5, rule) == pytest.approx(0.03)
    assert expected_error(0.9, 60, rule) == pytest.approx(0.0025)
    assert expected_error(0.5, 60, rule) == 1.0
    assert expected_error(0.51, 1, rule) == pytest.approx(0.735)
    assert expected_error(1.0, 0, rule) == 1.0


def test_a_short_line_beside_a_very_long_one() -> None:
    """What lies beyond the end of its text gathers nothing that would drown it."""
    rng = np.random.default_rng(5)
    steps, short = 2048, 40
    posteriors = rng.dirichlet(np.ones(6) * 0.3, (2, steps)).astype(np.float32)
    posteriors[1, short:] = np.eye(6, dtype=np.float32)[0]  # blank
    text = np.array([1, 2, 3, 4, 5, 1])
    (alone,) = certainty.text_probability(posteriors[1:, :short], [text])
    together = certainty.text_probability(posteriors, [rng.integers(1, 6, steps // 4), text])
    assert alone > 0
    assert together[1] == pytest.approx(alone, rel=1e-6, abs=0)
