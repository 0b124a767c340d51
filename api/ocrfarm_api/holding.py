"""How long a request was held on purpose (`wait=`): that is what its caller asked for, and no part of how fast the gateway is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_held: ContextVar[list[float] | None] = ContextVar("ocrfarm_held", default=None)


@contextmanager
def on_purpose() -> Iterator[None]:
    """While a request waits for its job."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        held = _held.get()
        if held is not None:
            held.append(time.perf_counter() - begun)


@contextmanager
def measured() -> Iterator[list[float]]:
    """Around a request: the seconds of each time that it was held."""
    spans: list[float] = []
    token = _held.set(spans)
    try:
        yield spans
    finally:
        _held.reset(token)
