"""The DB detector: geometry on maps drawn here, and the real models on drawn pages."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ocrfarm_models.detector import Detector, clockwise, image_tensor, input_size, regions
from ocrfarm_models.spec import DetectorRule, InputRule

DrawLine = Callable[..., NDArray[np.uint8]]
RULE = DetectorRule(dilate=False)
IMAGE = InputRule(height=0, multiple=32)


def text_map(angle: float = 0.0, value: float = 0.9) -> NDArray[np.float32]:
    drawn = np.zeros((200, 300), np.float32)
    box = cv2.boxPoints(((150, 100), (100, 20), angle))
    cv2.fillPoly(drawn, [np.rint(box).astype(np.int32)], value)
    return drawn


@pytest.mark.parametrize("angle", [0.0, 20.0, -35.0])
def test_a_region_grows_by_the_distance_of_the_paper(angle: float) -> None:
    (found,) = regions(text_map(angle), (200, 300), RULE)
    grow = 100 * 20 * RULE.unclip / (2 * 120)
    across, down = math.dist(*found.polygon[:2]), math.dist(found.polygon[0], found.polygon[3])
    assert across == pytest.approx(100 + 2 * grow, abs=4)
    assert down == pytest.approx(20 + 2 * grow, abs=4)
    assert 0.8 < found.score <= 0.9
    assert found.polygon.mean(axis=0) == pytest.approx((150, 100), abs=1)


def test_regions_are_in_pixels_of_the_image() -> None:
    (small,) = regions(text_map(), (200, 300), RULE)
    (large,) = regions(text_map(), (400, 900), RULE)
    assert large.polygon == pytest.approx(small.polygon * (3, 2), abs=1e-3)
    assert large.polygon.dtype == np.float32


def test_what_is_faint_small_or_nothing_is_no_region() -> None:
    assert regions(text_map(value=0.4), (200, 300), RULE) == []
    assert len(regions(text_map(value=0.4), (200, 300), replace(RULE, box_threshold=0.35))) == 1
    speck = np.zeros((50, 50), np.float32)
    speck[10:12, 10:12] = 1
    assert regions(speck, (50, 50), RULE) == []
    assert regions(np.zeros((50, 50), np.float32), (50, 50), RULE) == []


def test_a_region_at_the_edge_stays_in_the_image() -> None:
    edge = np.zeros((60, 100), np.float32)
    edge[0:12, 0:100] = 1
    (found,) = regions(edge, (60, 100), RULE)
    assert found.polygon.min() >= 0
    assert (found.polygon.max(axis=0) <= (100, 60)).all()


@given(st.floats(-80, 80), st.floats(20, 100), st.floats(20, 100))
def test_corners_go_round_clockwise_from_the_left(angle: float, width: float, height: float) -> None:
    box = clockwise(cv2.boxPoints(((200, 200), (width, height), angle)).astype(np.float32))
    x, y = box[:, 0], box[:, 1]
    area = np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))
    assert area > 0  # positive where y runs down: clockwise on the screen
    assert x[0] <= x[1] + 1e-3
    assert x[3] <= x[2] + 1e-3


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_the_tensor_fits_the_network_and_stays_under_the_limit(height: int, width: int) -> None:
    high, wide = input_size(height, width, DetectorRule(), IMAGE)
    assert high % 32 == 0
    assert wide % 32 == 0
    assert min(high, wide) >= 32
    assert max(high, wide) <= 4000
    assert high * wide <= 1_800_000 * 1.1 or min(high, wide) == 32


def test_a_long_receipt_keeps_its_width_and_small_print_is_enlarged() -> None:
    assert input_size(3000, 640, DetectorRule(), IMAGE)[1] >= 500
    assert input_size(300, 400, DetectorRule(), IMAGE) == (736, 992)
    assert input_size(1000, 760, DetectorRule(), IMAGE) == (992, 768)


def test_an_image_becomes_normalised_planes() -> None:
    image = np.full((40, 70, 3), (0, 255, 51), np.uint8)
    planes = image_tensor(image, (32, 64), IMAGE)
    assert planes.shape == (1, 3, 32, 64)
    assert planes[0, :, 3, 3] == pytest.approx((-1, 1, -0.6), abs=1e-6)
    assert image_tensor(image, (32, 64), replace(IMAGE, channels="RGB"))[0, :, 3, 3] == pytest.approx((-0.6, 1, -1))
    assert image_tensor(image, (32, 64), replace(IMAGE, layout="NHWC")).shape == (1, 32, 64, 3)


def test_lines_of_a_page_are_found(detector: Detector, draw_line: DrawLine) -> None:
    page = np.full((800, 900, 3), 255, np.uint8)
    places = []
    for n, text in enumerate(["Minutes of the meeting", "held on Monday", "Present: seven members", "42"]):
        line = draw_line(text, 28)
        y, x = 80 + 150 * n, 60 + 40 * n
        page[y : y + line.shape[0], x : x + line.shape[1]] = line
        places.append((x, y, x + line.shape[1], y + line.shape[0]))
    found = sorted(detector.detect(page), key=lambda r: float(r.polygon[:, 1].mean()))
    assert len(found) == len(places)
    for region, (x0, y0, x1, y1) in zip(found, places, strict=True):
        low, high = region.polygon.min(axis=0), region.polygon.max(axis=0)
        assert low == pytest.approx((x0 + 6, y0 + 6), abs=14)
        assert high == pytest.approx((x1 - 6, y1 - 6), abs=14)
        assert 0.5 <= region.score <= 1


@pytest.mark.parametrize("tone", [255, 230, 0])
def test_even_paper_has_no_regions_and_one_word_on_it_has(detector: Detector, draw_line: DrawLine, tone: int) -> None:
    page = np.full((600, 500, 3), tone, np.uint8)
    assert detector.detect(page) == []
    word = draw_line("word", 30)
    page[300 : 300 + word.shape[0], 200 : 200 + word.shape[1]] = word
    (found,) = detector.detect(page)
    assert found.polygon.mean(axis=0) == pytest.approx((200 + word.shape[1] / 2, 300 + word.shape[0] / 2), abs=10)


@pytest.mark.parametrize("image", [np.zeros((10, 10), np.uint8), np.zeros((0, 10, 3), np.uint8), np.zeros((9, 9, 3))])
def test_what_is_no_image_is_refused(detector: Detector, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="non-empty uint8"):
        detector.detect(image)
