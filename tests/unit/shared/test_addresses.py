from __future__ import annotations

import pytest

from ocrfarm_shared.addresses import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "farm", "example.org", ""])
def test_others_too(host: str) -> None:
    assert not is_loopback(host)
