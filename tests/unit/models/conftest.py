"""The real models; those that are made on the machine are made once a checkout. Lines and pages are drawn with Pillow's own font."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ocrfarm_models import own
from ocrfarm_models.build import build
from ocrfarm_models.detector import Detector
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.registry import resolve
from ocrfarm_shared.settings import settings

Pixels = NDArray[np.uint8]
DrawLine = Callable[..., Pixels]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    cv2.setNumThreads(1)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own."""
    monkeypatch.setenv("OCRFARM_STATE", str(tmp_path / "state"))
    settings.cache_clear()
    own.forget()
    yield tmp_path / "state"
    monkeypatch.undo()
    settings.cache_clear()
    own.forget()


@pytest.fixture(scope="session")
def draw_line() -> DrawLine:
    """A line of print, uint8 HxWx3 BGR."""

    def draw(text: str, size: int = 32, margin: int = 6) -> Pixels:
        font = ImageFont.load_default(size)
        left, top, right, bottom = (int(v) for v in font.getbbox(text))
        image = Image.new("RGB", (right - left + 2 * margin, bottom - top + 2 * margin), "white")
        ImageDraw.Draw(image).text((margin - left, margin - top), text, "black", font)
        return np.asarray(image)[:, :, ::-1].copy()

    return draw


def _recognizer(model_id: str) -> Iterator[Recognizer]:
    build([model_id])
    opened = Recognizer.open(resolve(model_id))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def recognizer() -> Iterator[Recognizer]:
    yield from _recognizer("ppocrv6-rec")


@pytest.fixture(scope="session")
def recognizer_int8() -> Iterator[Recognizer]:
    yield from _recognizer("ppocrv6-rec-int8")


@pytest.fixture(scope="session", params=["ppocrv6-det", "ppocrv6-det-int8"])
def detector(request: pytest.FixtureRequest) -> Iterator[Detector]:
    build([request.param])
    opened = Detector.open(resolve(request.param))
    yield opened
    opened.close()
