"""A page as a picture: no wider than asked, never enlarged, the same picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ocrfarm_shared.artefacts import Form
from ocrfarm_worker.document import LoadedPage
from ocrfarm_worker.export.picture import MOST_HEIGHT, picture


def a_page(width: int, height: int) -> LoadedPage:
    """Red on the left, blue on the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = (0, 0, 255)
    image[:, width // 2 :] = (255, 0, 0)
    return LoadedPage(image)


@pytest.mark.parametrize("form", ["jpeg", "webp", "png"])
@pytest.mark.parametrize(("size", "width", "expected"), [((1000, 500), 320, (320, 160)), ((200, 100), 320, (200, 100))])
def test_size_and_colours(form: Form, size: tuple[int, int], width: int, expected: tuple[int, int]) -> None:
    with Image.open(io.BytesIO(picture(a_page(*size), width, form))) as got:
        assert got.format == form.upper()
        assert got.size == expected
        pixels = np.asarray(got.convert("RGB")).astype(int)
    left, right = pixels[expected[1] // 2, 20], pixels[expected[1] // 2, -20]
    assert np.abs(left - [255, 0, 0]).max() < 12
    assert np.abs(right - [0, 0, 255]).max() < 12


@pytest.mark.parametrize("form", ["jpeg", "webp", "png"])
def test_a_very_long_strip_fits_every_format(form: Form) -> None:
    with Image.open(io.BytesIO(picture(a_page(64, 3 * MOST_HEIGHT), 320, form))) as got:
        assert got.height == MOST_HEIGHT
        assert got.width == 21


def test_a_pdf_is_no_picture() -> None:
    with pytest.raises(ValueError):
        picture(a_page(10, 10), 320, "pdf")
