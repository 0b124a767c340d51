"""PNGs that end before their last row: an error, never a picture whose rest is black."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.documents import raw_png

from ocrfarm_shared.errors import Unreadable
from ocrfarm_worker.load import Limits, load_page
from ocrfarm_worker.png_rows import holds_all_rows


@pytest.mark.parametrize(("width", "height", "got"), [(3000, 3000, 3001 * 100), (200, 900, 2010), (1, 60_000, 1000)])
def test_too_few_rows_are_no_picture(width: int, height: int, got: int) -> None:
    short = raw_png(width, height, [b"\0" * got])
    with pytest.raises(Unreadable):
        load_page(short, "image/png", 1, 200, Limits())


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
def test_the_last_byte_counts(width: int, height: int, cut: int) -> None:
    whole = b"\0" * ((width + 1) * height)
    assert holds_all_rows(io.BytesIO(raw_png(width, height, [whole], pieces=cut)))
    assert not holds_all_rows(io.BytesIO(raw_png(width, height, [whole[:-1]], pieces=cut)))


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([(1, 0), (4, 3), (8, 2), (16, 0), (8, 6), (16, 6)]))
def test_interlaced_ones_are_counted_by_pass(width: int, height: int, how: tuple[int, int]) -> None:
    depth, colour = how
    bits = depth * {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    needed = 0
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        wide, high = len(range(x, width, dx)), len(range(y, height, dy))
        needed += high * (1 + (wide * bits + 7) // 8) if wide else 0
    assert holds_all_rows(io.BytesIO(raw_png(width, height, [b"\0" * needed], depth, colour, interlace=1)))
    assert not holds_all_rows(io.BytesIO(raw_png(width, height, [b"\0" * (needed - 1)], depth, colour, interlace=1)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_what_pillow_writes_is_whole(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (123, 45)).save(out, "PNG")
    assert holds_all_rows(out)
