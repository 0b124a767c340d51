"""Two kinds of farm. `farm`: one for all tests that need no settings of their own; whatever they break comes back, and that is looked at
before the next one gets it. `start_farm`: a farm of the test's own. Both misbehave on pages of certain widths (inject/)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running_farm import INJECT, RunningFarm


@pytest.fixture
def start_farm(tmp_path: Path) -> Iterator[Callable[..., RunningFarm]]:
    farms: list[RunningFarm] = []

    def start(**settings: Any) -> RunningFarm:
        farm = RunningFarm(tmp_path / f"farm{len(farms)}", **{"python_path": INJECT} | settings)
        farms.append(farm)
        return farm.start()

    yield start
    for farm in farms:
        farm.stop()


class Shared:
    """The farm of all tests, started when the first one asks, and again after one that it did not get over."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self.factory = factory
        self.farm: RunningFarm | None = None

    def ready(self) -> RunningFarm:
        if self.farm is not None and not self._well(self.farm):
            self.stop()
        if self.farm is None:
            self.farm = RunningFarm(self.factory.mktemp("faults") / "farm", python_path=INJECT)
            self.farm.start()
        return self.farm

    @staticmethod
    def _well(farm: RunningFarm) -> bool:
        """Idle, with both processes alive, within a minute and a half."""
        limit = time.monotonic() + 90
        while time.monotonic() < limit:
            try:
                state = farm.http.get("/v1/farm").json()
                if (state["slots"], state["queued_units"], state["running_units"]) == (2, 0, 0):
                    return True
            except Exception:  # it is asked until it is well
                pass
            time.sleep(0.1)
        return False

    def stop(self) -> None:
        if self.farm is not None:
            farm, self.farm = self.farm, None
            farm.stop()


@pytest.fixture(scope="session")
def shared_farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    shared = Shared(tmp_path_factory)
    yield shared
    shared.stop()


@pytest.fixture
def farm(shared_farm: Shared) -> RunningFarm:
    """Default settings, two processes, idle."""
    return shared_farm.ready()
