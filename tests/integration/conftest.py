"""One real farm for all integration tests: gateway, dispatcher, two worker processes, an embedded Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running_farm import RunningFarm


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFarm]:
    with RunningFarm(
        tmp_path_factory.mktemp("farm") / "state",
        max_megapixels=20,
        max_pages=50,
        max_upload_mb=20,
        webhook_secret="of the integration tests",
        webhook_hosts="127.0.0.1",
    ) as farm:
        yield farm
