"""Crops: upright whatever the region's turn, and back to the page without loss."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrfarm_worker.crop import flip, part, rectify, stand, turn, whole


def scene(angle: float, width: int = 160, height: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A page with one label on it, turned by `angle` degrees: red at its left end, blue at its right; and its corners."""
    label = np.full((height, width, 3), 230, np.uint8)
    label[:, : width // 4] = (0, 0, 255)
    label[:, -width // 4 :] = (255, 0, 0)
    label[: height // 4, width // 4 : -width // 4] = (0, 255, 0)  # its upper edge
    page = np.full((400, 400, 3), 255, np.uint8)
    page[180 : 180 + height, 120 : 120 + width] = label
    matrix = cv2.getRotationMatrix2D((200.0, 200.0), -angle, 1.0)
    corners = np.array([[120, 180], [120 + width, 180], [120 + width, 180 + height], [120, 180 + height]], np.float64)
    turned = corners @ matrix[:, :2].T + matrix[:, 2]
    return cv2.warpAffine(page, matrix, (400, 400), borderValue=(255, 255, 255)), turned.astype(np.float32)


def ends(image: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    """Colours near the left end, the right end and the upper edge's middle."""
    h, w = image.shape[:2]
    return image[h // 2, w // 10].tolist(), image[h // 2, -w // 10].tolist(), image[h // 8, w // 2].tolist()


def near(colour: list[int], expected: tuple[int, int, int]) -> bool:
    return max(abs(a - b) for a, b in zip(colour, expected, strict=True)) < 60


@pytest.mark.parametrize("angle", [0, 0.2, 3, -12, 37, -40])
def test_a_slanted_region_comes_upright(angle: float) -> None:
    page, corners = scene(angle)
    crop = rectify(page, corners)
    assert not crop.tall
    assert abs(crop.image.shape[1] - 160) <= 2
    assert abs(crop.image.shape[0] - 40) <= 2
    left, right, top = ends(crop.image)
    assert near(left, (0, 0, 255))
    assert near(right, (255, 0, 0))
    assert near(top, (0, 255, 0))


@pytest.mark.parametrize(("angle", "flips"), [(90, False), (-90, True), (84, False), (-97, True)])
def test_a_tall_region_is_turned_by_its_side(angle: float, flips: bool) -> None:
    page, corners = scene(angle)
    # A detector does not know the text's direction: it gives the corners from the upper left one of the page.
    start = int(np.argmin(corners.sum(axis=1)))
    crop = rectify(page, np.roll(corners, -start, axis=0))
    assert crop.tall
    crop = flip(crop) if flips else crop
    left, right, top = ends(crop.image)
    assert near(left, (0, 0, 255))
    assert near(right, (255, 0, 0))
    assert near(top, (0, 255, 0))
    # The corners are the text's own: its top left on the page is the label's.
    assert np.abs(crop.corners - corners).max() < 1.5


def test_an_upright_region_is_cut_out_without_a_copy() -> None:
    page, corners = scene(0)
    crop = rectify(page, corners)
    assert np.shares_memory(crop.image, page)
    assert np.array_equal(crop.image, page[180:220, 120:280])


def test_a_region_at_the_edge_of_the_page() -> None:
    page, _ = scene(0)
    crop = rectify(page, np.array([[0, 0], [400, 2], [400, 12], [0, 10]], np.float32))
    assert crop.image.shape[1] >= 400
    assert crop.image.size > 0


@given(st.floats(-180, 180), st.floats(0, 1), st.floats(0, 1))
def test_a_part_of_a_crop_lies_on_the_page_where_it_was(angle: float, first: float, second: float) -> None:
    start, end = sorted((first, second))
    _, corners = scene(angle)
    polygon = np.array(part(corners, start, end))
    length = math.dist(polygon[0], polygon[1])
    assert abs(length - 160 * (end - start)) < 0.5
    along = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    assert abs(float((polygon[0] - corners[0]) @ along) - 160 * start) < 0.5
    assert math.dist(polygon[0], polygon[3]) == pytest.approx(40, abs=0.5)


def test_turning_four_times_is_nothing() -> None:
    page, _ = scene(10)
    crop = whole(page[:300])
    again = turn(turn(turn(turn(crop))))
    assert np.array_equal(again.image, crop.image)
    assert np.array_equal(again.corners, crop.corners)
    twice, flipped = turn(turn(crop)), flip(crop)
    assert np.array_equal(twice.image, flipped.image)
    assert np.array_equal(twice.corners, flipped.corners)


@pytest.mark.parametrize("flips", [False, True])
def test_a_tall_region_can_be_taken_as_it_stands(flips: bool) -> None:
    page, corners = scene(90)
    standing = np.roll(corners, -int(np.argmin(corners.sum(axis=1))), axis=0)
    crop = rectify(page, standing)
    again = stand(flip(crop) if flips else crop)
    assert not again.tall
    assert not again.flipped
    assert np.array_equal(again.corners, standing)
    low, high = np.rint(standing.min(axis=0)).astype(int), np.rint(standing.max(axis=0)).astype(int)
    assert np.array_equal(again.image, page[low[1] : high[1], low[0] : high[0]])
