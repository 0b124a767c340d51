"""Reading order: nothing lost or doubled, whatever the detector's sequence; columns one by one; rows of a table whole."""

from __future__ import annotations

import math
import random
import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrfarm_worker.order import reading_order

Box = tuple[float, float, float, float]


def quad(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


def ordered(boxes: dict[str, Box], slant: float = 0.0, seed: int = 0) -> list[str]:
    """The names in reading order, the boxes shuffled and the page slanted by so many degrees."""
    names = list(boxes)
    random.Random(seed).shuffle(names)
    turn = math.radians(slant)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    order = reading_order([quad(*boxes[name]) @ matrix.T for name in names])
    return [names[i] for i in order]


def column(name: str, x: float, y: float, lines: int, width: float = 500, pitch: float = 30) -> dict[str, Box]:
    """Lines of prose, the last one short."""
    return {
        f"{name}{n}": (x, y + pitch * n, x + (width if n < lines - 1 else width / 3), y + pitch * n + 22)
        for n in range(lines)
    }


def test_nothing() -> None:
    assert reading_order([]) == []


def test_lines_from_top_to_bottom() -> None:
    page = column("a", 50, 40, 12)
    assert ordered(page) == list(page)


def test_two_columns_are_read_one_after_the_other() -> None:
    page = column("left", 50, 40, 9) | column("right", 600, 52, 11)
    assert ordered(page) == list(page)


def test_columns_of_a_slanted_page() -> None:
    page = column("left", 50, 40, 14) | column("right", 600, 40, 14)
    for slant in (-8.0, -2.0, 3.0, 9.0):
        assert ordered(page, slant) == list(page)


def test_three_columns() -> None:
    page = column("a", 50, 40, 8, 300) | column("b", 400, 40, 8, 300) | column("c", 750, 40, 8, 300)
    assert ordered(page) == list(page)


def test_a_title_over_columns_and_a_line_between_them() -> None:
    page = (
        {"title": (200.0, 10.0, 900.0, 60.0)}
        | column("a", 50, 90, 6)
        | column("b", 600, 90, 6)
        | {"heading": (60.0, 300.0, 1090.0, 330.0)}
        | column("c", 50, 350, 6)
        | column("d", 600, 350, 6)
    )
    assert ordered(page) == list(page)


def test_aligned_paragraph_gaps_do_not_part_the_columns() -> None:
    page = column("a", 50, 40, 4) | column("a2", 50, 220, 4) | column("b", 600, 40, 4) | column("b2", 600, 220, 4)
    assert ordered(page) == list(page)


def test_rows_of_a_receipt_stay_whole() -> None:
    page: dict[str, Box] = {}
    for n in range(12):
        page[f"item{n}"] = (40, 40 + 35 * n, 200 + 10 * (n % 4), 64 + 35 * n)
        page[f"price{n}"] = (520, 42 + 35 * n, 590, 63 + 35 * n)
    assert ordered(page) == list(page)


def test_rows_of_a_table_stay_whole() -> None:
    page: dict[str, Box] = {}
    for row in range(20):
        for cell in range(6):
            page[f"{row}.{cell}"] = (40 + 150 * cell, 40 + 40 * row, 120 + 150 * cell, 64 + 40 * row)
    assert ordered(page) == list(page)


def test_parts_of_one_row_may_differ_in_height_and_place() -> None:
    page = {"a": (10.0, 10.0, 100.0, 40.0), "b": (120.0, 14.0, 200.0, 34.0), "c": (220.0, 6.0, 300.0, 38.0)}
    assert ordered(page | column("next", 10, 60, 3)) == ["a", "b", "c", "next0", "next1", "next2"]


def test_tight_lines_whose_boxes_touch() -> None:
    page = {f"{n}": (50.0, 40.0 + 25 * n, 600.0, 40.0 + 25 * n + 29) for n in range(10)}
    assert ordered(page) == list(page)


def test_a_long_table_does_not_cost_its_square() -> None:
    boxes = [quad(40 + 150 * c, 40 * r, 120 + 150 * c, 40 * r + 24) for r in range(400) for c in range(5)]
    start = time.process_time()
    assert reading_order(boxes) == list(range(2000))
    assert time.process_time() - start < 5


boxes = st.builds(
    lambda x, y, w, h, turn: (quad(0, 0, w, h) @ np.array([[1, turn], [-turn, 1]]) + (x, y)).astype(np.float32),
    st.integers(0, 2000),
    st.integers(0, 2000),
    st.integers(0, 900),
    st.integers(0, 120),
    st.floats(-0.4, 0.4),
)


@given(st.lists(boxes, max_size=40))
def test_every_region_comes_once(page: list[np.ndarray]) -> None:
    assert sorted(reading_order(page)) == list(range(len(page)))


@settings(deadline=None)
@given(st.lists(boxes, max_size=25), st.randoms(use_true_random=False))
def test_the_sequence_found_in_does_not_matter(page: list[np.ndarray], shuffle: random.Random) -> None:
    other = list(page)
    shuffle.shuffle(other)
    first = [page[i].tolist() for i in reading_order(page)]
    second = [other[i].tolist() for i in reading_order(other)]
    assert first == second


@given(st.lists(boxes, min_size=1, max_size=25), st.integers(-500, 500), st.integers(-500, 500))
def test_moving_the_page_does_not_matter(page: list[np.ndarray], dx: int, dy: int) -> None:
    whole = [np.rint(quad_) for quad_ in page]
    moved = [quad_ + np.array([dx, dy], np.float32) for quad_ in whole]
    assert reading_order(whole) == reading_order(moved)
