"""Each fault gets a farm of its own: nothing that it breaks is another test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running_farm import RunningFarm


@pytest.fixture
def start_farm(tmp_path: Path) -> Iterator[Callable[..., RunningFarm]]:
    farms: list[RunningFarm] = []

    def start(**settings: Any) -> RunningFarm:
        farm = RunningFarm(tmp_path / f"farm{len(farms)}", **settings)
        farms.append(farm)
        return farm.start()

    yield start
    for farm in farms:
        farm.stop()
