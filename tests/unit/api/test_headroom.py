"""Room that is kept for what was accepted."""

from __future__ import annotations

from ocrfarm_api.admission import RESERVED, Headroom
from ocrfarm_shared.settings import read_settings


def test_what_was_accepted_has_its_room() -> None:
    settings = read_settings({})
    room = Headroom(free_disk=settings.min_free_disk_bytes + 1, redis_used=100_000_000, redis_most=1_000_000_000)
    most = int((1 - RESERVED) * 1_000_000_000) - 100_000_000
    assert room.trouble(settings) is None
    assert room.trouble(settings, most) is None
    assert "memory for jobs" in (room.trouble(settings, most + 1) or "")


def test_a_redis_without_a_limit_and_a_disk_without_room() -> None:
    settings = read_settings({})
    assert Headroom(free_disk=settings.min_free_disk_bytes, redis_used=10**12).trouble(settings, 10**12) is None
    assert "disk" in (Headroom(free_disk=settings.min_free_disk_bytes - 1).trouble(settings) or "")
