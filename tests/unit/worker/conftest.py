"""The real models, opened once a session; those that are made on the machine are made once a checkout."""

from __future__ import annotations

import cv2
import pytest

from ocrfarm_models.build import build
from ocrfarm_models.engines import Engines
from ocrfarm_shared.profiles import get_profile


def _open(name: str) -> Engines:
    profile = get_profile(name)
    build(profile.models)
    cv2.setNumThreads(1)
    return Engines.load(profile)


@pytest.fixture(scope="session")
def engines() -> Engines:
    return _open("accurate")


@pytest.fixture(scope="session")
def engines_int8() -> Engines:
    return _open("accurate-int8")


@pytest.fixture(scope="session")
def engines_balanced() -> Engines:
    return _open("balanced")
