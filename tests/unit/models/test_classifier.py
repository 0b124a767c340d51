"""Text direction, the sessions' failures, and a profile's engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ocrfarm_models.build import build
from ocrfarm_models.classifier import DirectionClassifier
from ocrfarm_models.engines import Engines
from ocrfarm_models.registry import resolve
from ocrfarm_models.sessions import Session
from ocrfarm_shared.errors import ModelUnavailable
from ocrfarm_shared.profiles import get_profile

DrawLine = Callable[..., NDArray[np.uint8]]


def test_lines_on_their_head_are_told_from_upright_ones(draw_line: DrawLine) -> None:
    classifier = DirectionClassifier.open(resolve("ppocr-cls"))
    upright = [
        draw_line(text, 30) for text in ("Total amount due", "Yours faithfully", "Page 3 of 12", "North Street")
    ] * 3
    turned = [cv2.rotate(crop, cv2.ROTATE_180).astype(np.uint8) for crop in upright]
    mixed = [crop for pair in zip(upright, turned, strict=True) for crop in pair]
    assert classifier.flipped(mixed) == [False, True] * len(upright)
    assert classifier.flipped([]) == []
    classifier.close()


def test_a_profiles_engines_read_a_page(draw_line: DrawLine) -> None:
    profile = get_profile("accurate")
    build(profile.models)
    engines = Engines.load(profile)
    line = draw_line("Opening hours 9 to 5", 36)
    page = np.full((300, 600, 3), 255, np.uint8)
    page[100 : 100 + line.shape[0], 50 : 50 + line.shape[1]] = line
    (region,) = engines.detector.detect(page)
    (x0, y0), (x1, y1) = region.polygon.min(axis=0).astype(int), region.polygon.max(axis=0).astype(int)
    assert engines.recognizer.read([page[y0:y1, x0:x1]])[0].text == "Opening hours 9 to 5"
    assert engines.classifier is not None
    assert engines.models == profile.models
    engines.rest()
    engines.close()
    with pytest.raises(AssertionError, match="closed"):
        engines.detector.detect(page)


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelUnavailable, match=r"broken.onnx cannot be opened .* `ocrfarm models build --force`"):
        Session(path)
