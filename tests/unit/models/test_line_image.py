"""Crops to tensors: full width, right channels, padding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrfarm_models.line_image import closer, columns, padded_columns, resize_line, to_batch
from ocrfarm_models.spec import Channels, InputRule, Layout

PP = InputRule(height=48, multiple=32, margin=16)
GREY = InputRule(height=32, multiple=8, channels="GREY", mean=0.0, std=1.0)
SIDES = st.integers(1, 400)


@given(SIDES, SIDES, st.sampled_from([PP, GREY]))
def test_aspect_ratio_is_kept_and_nothing_is_cut(height: int, width: int, rule: InputRule) -> None:
    filled = columns(height, width, rule)
    assert filled == min(math.ceil(rule.height * width / height), rule.max_width)
    padded = padded_columns(filled, rule)
    assert padded >= filled + rule.margin
    assert padded % rule.multiple == 0
    assert resize_line(np.zeros((height, width, 3), np.uint8), rule).shape[:2] == (rule.height, filled)


def test_the_last_column_of_a_wide_line_is_in_the_tensor() -> None:
    crop = np.full((48, 5000, 3), 255, np.uint8)
    crop[:, -4:] = 0
    batch = to_batch([resize_line(crop, PP)], PP)
    assert batch[0, 0, 24, 4998] == -1.0
    assert batch.shape[3] == 5024


def test_lines_wider_than_the_limit_are_squeezed_whole() -> None:
    rule = InputRule(height=48, max_width=200)
    crop = np.full((48, 1000, 3), 255, np.uint8)
    crop[:, -100:] = 0
    line = resize_line(crop, rule)
    assert line.shape == (48, 200, 3)
    assert line[24, 195].max() == 0
    assert line[24, 100].min() == 255


@pytest.mark.parametrize(("channels", "expected"), [("BGR", (10, 20, 30)), ("RGB", (30, 20, 10))])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_channels_and_layout(channels: Channels, layout: Layout, expected: tuple[int, ...]) -> None:
    rule = InputRule(height=16, channels=channels, layout=layout, mean=0.0, std=1.0)
    batch = to_batch([resize_line(np.full((16, 40, 3), (10, 20, 30), np.uint8), rule)], rule)
    assert batch.shape == ((1, 3, 16, 40) if layout == "NCHW" else (1, 16, 40, 3))
    pixel = batch[0, :, 5, 5] if layout == "NCHW" else batch[0, 5, 5]
    assert pixel * 255 == pytest.approx(expected, abs=0.01)


def test_grey_crops_serve_colour_models_and_the_other_way_round() -> None:
    grey = np.full((20, 60), 77, np.uint8)
    assert (resize_line(grey, PP) == 77).all()
    assert resize_line(grey[:, :, None], GREY).shape == (32, 96)
    assert (resize_line(np.full((20, 60, 3), 77, np.uint8), GREY) == 77).all()


def test_padding_is_the_rules_value_and_values_are_normalised() -> None:
    rule = InputRule(height=48, multiple=32, mean=0.5, std=0.5, pad=0.25)
    batch = to_batch([np.full((48, 10, 3), 255, np.uint8), np.zeros((48, 20, 3), np.uint8)], rule)
    assert batch.dtype == np.float32
    assert batch.shape == (2, 3, 48, 32)
    assert (batch[0, :, :, :10] == 1).all()
    assert (batch[0, :, :, 10:] == 0.25).all()
    assert (batch[1, :, :, :20] == -1).all()


def test_a_model_of_one_width_gets_that_width() -> None:
    rule = InputRule(height=48, width=192)
    assert to_batch([resize_line(np.zeros((48, 900, 3), np.uint8), rule)], rule).shape == (1, 3, 48, 192)
    assert to_batch([resize_line(np.zeros((48, 50, 3), np.uint8), rule)], rule).shape == (1, 3, 48, 192)


@pytest.mark.parametrize(
    "crop", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 3), np.float32), np.zeros((2, 5, 5, 3), np.uint8)]
)
def test_what_is_no_crop_is_refused(crop: np.ndarray) -> None:
    with pytest.raises(ValueError, match="non-empty uint8"):
        resize_line(crop, PP)


@given(SIDES, st.floats(0, 0.25), st.integers(0, 2**31))
def test_a_closer_crop_loses_its_share_above_and_below(height: int, trim: float, seed: int) -> None:
    """With writing up to its edges, nothing more."""
    crop = np.random.default_rng(seed).choice(np.array([0, 255], np.uint8), (height, 40))
    left = closer(crop, InputRule(height=32, trim=trim))
    off = round(height * trim)
    assert left.tolist() == crop[off : height - off].tolist()


@pytest.mark.parametrize("paper", [255, 0])
def test_a_closer_crop_loses_what_is_still_paper_far_from_the_writing(paper: int) -> None:
    crop = np.full((100, 300, 3), paper, np.uint8)
    crop[40:60, 20:280:7] = 255 - paper
    crop[15, 100:102] = 255 - paper  # a speck
    left = closer(crop, InputRule(height=32, trim=0.1))
    assert left.tolist() == crop[37:63].tolist()
    blank = np.full((100, 300, 3), paper, np.uint8)
    assert closer(blank, InputRule(height=32, trim=0.1)).shape == (80, 300, 3)
