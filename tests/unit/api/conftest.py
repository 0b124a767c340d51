"""Fixtures of the gateway's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.running_gateway import Gateway

from ocrfarm_shared.settings import read_settings


@pytest.fixture
def make_gateway(tmp_path: Path, redis_url: str, namespace: str) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways with settings of one's own."""
    running: list[Gateway] = []

    def make(**overrides: Any) -> Gateway:
        chosen = {"state": tmp_path / "state", "redis_url": redis_url, "namespace": namespace} | overrides
        running.append(Gateway(read_settings({}, **chosen)).start())
        return running[-1]

    yield make
    for gateway in running:
        gateway.stop()


@pytest.fixture
def gateway(make_gateway: Callable[..., Gateway]) -> Gateway:
    return make_gateway()
