"""Labels with an end: whatever a node says of itself, a metric has so many series at most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

MOST = 100
OTHER = "other"


def kept(found: Mapping[tuple[str, ...], T], add: Callable[[T, T], T]) -> dict[tuple[str, ...], T]:
    """The first MOST of them by name; all others together, under `other`."""
    out: dict[tuple[str, ...], T] = {}
    for place, labels in enumerate(sorted(found)):
        kept = labels if place < MOST else (OTHER,) * len(labels)
        out[kept] = add(out[kept], found[labels]) if kept in out else found[labels]
    return out
