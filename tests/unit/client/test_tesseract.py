"""pytesseract's calls on a farm: its images, its arguments, its answers."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.unit.client.conftest import Gateway, Hand

from ocrfarm import Client, Output, image_to_data, image_to_pdf_or_hocr, image_to_string, tesseract
from ocrfarm_shared.errors import BadOption, RequestError

PICTURE = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


@pytest.fixture
def farm(gateway: Gateway) -> Iterator[Client]:
    with Client(gateway.url) as client:
        yield client


def with_hand(hand: Hand, ask: Callable[[], Any], text: str = "two words") -> Any:
    worker = threading.Thread(target=hand.read, args=(text,))
    worker.start()
    try:
        return ask()
    finally:
        worker.join()


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_the_text_in_its_types(farm: Client, hand: Hand, letter: Path) -> None:
    assert with_hand(hand, lambda: image_to_string(str(letter), farm=farm)) == "two words\n"
    assert image_to_string(letter, output_type=Output.BYTES, farm=farm) == b"two words\n"  # from the cache
    assert image_to_string(letter.read_bytes(), output_type=Output.DICT, farm=farm) == {"text": "two words\n"}


def test_the_data_in_its_types(farm: Client, hand: Hand) -> None:
    image = Image.fromarray(PICTURE)
    table = with_hand(hand, lambda: image_to_data(image, farm=farm), "first\nsecond")
    assert table.startswith("level\tpage_num\t")
    data = image_to_data(image, output_type=Output.DICT, farm=farm)
    assert [t for t, level in zip(data["text"], data["level"], strict=True) if level == 5] == ["first", "second"]
    assert all(isinstance(n, int) for n in data["left"] + data["width"])
    assert max(data["conf"]) == 90
    assert image_to_data(image, output_type=Output.BYTES, farm=farm) == table.encode()
    with pytest.raises(ModuleNotFoundError, match="pandas"):
        image_to_data(image, output_type=Output.DATAFRAME, farm=farm)


def test_other_formats(farm: Client, hand: Hand, letter: Path) -> None:
    hocr = with_hand(hand, lambda: image_to_pdf_or_hocr(letter, extension="hocr", farm=farm))
    assert b"ocrx_word" in hocr
    with pytest.raises(BadOption):
        image_to_pdf_or_hocr(letter, extension="doc", farm=farm)
    with pytest.raises(BadOption):
        image_to_string(letter, output_type="table", farm=farm)


def test_languages_and_page_segmentation(farm: Client, hand: Hand, letter: Path) -> None:
    with_hand(hand, lambda: image_to_string(letter, lang="eng+chi_sim", config="--oem 1 --psm 7", farm=farm))
    (job,) = farm.list()
    assert job.priority == "interactive"
    with pytest.raises(BadOption, match="languages"):
        image_to_string(letter, lang="tlh", farm=farm)


@pytest.mark.parametrize(
    "pixels",
    [PICTURE, PICTURE[:, :, 0], np.dstack([PICTURE, PICTURE[:, :, :1]]), PICTURE[:, :, :1], PICTURE[::-1, ::2], PICTURE[:, :, 0] > 70],
    ids=["rgb", "grey", "rgba", "one channel", "a view", "bool"],
)  # fmt: skip
def test_an_array_becomes_the_picture_that_pillow_makes_of_it(pixels: np.ndarray) -> None:
    plain = pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels
    with Image.open(io.BytesIO(tesseract._of_array(pixels))) as got:
        assert np.array_equal(np.asarray(got), plain * np.uint8(255) if plain.dtype == bool else plain)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_pillow_image(mode: str) -> None:
    image = Image.fromarray(PICTURE).convert(mode)
    with Image.open(io.BytesIO(tesseract.as_source(image))) as got:  # type: ignore[arg-type]
        assert got.size == image.size


@pytest.mark.parametrize(
    "image", [7, None, np.zeros((2, 2)), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 2), np.uint8), [1]]
)
def test_what_is_no_image_is_said(image: object) -> None:
    with pytest.raises(RequestError):
        tesseract.as_source(image)


def test_neither_library_is_imported() -> None:
    code = "import sys, ocrfarm; ocrfarm.image_to_string; print([n for n in ('PIL', 'numpy', 'pandas', 'httpx') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
