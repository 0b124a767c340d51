"""Calls of the ledger while Redis is away: made again until it answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from redis.exceptions import AuthenticationError, RedisError

from ocrfarm_shared.ledger import Ledger
from ocrfarm_shared.ledger.calls import Call

log = logging.getLogger(__name__)
T = TypeVar("T")


def insist(ledger: Ledger, call: Call[T], seconds: float, sleep: Callable[[float], None] = time.sleep) -> T:
    """Make a ledger call, again and again while Redis is away, loading or full, up to `seconds`; then raise its error.

    Every call is safe to repeat: a transition that was made and not heard of answers 'stale' or 'foreign' the second time.
    """
    return _until_it_answers(lambda: ledger(call), seconds, sleep)


def insist_all(ledger: Ledger, some: Sequence[Call[T]], seconds: float) -> list[T]:
    """The same for several calls that go in one round trip."""
    return _until_it_answers(lambda: ledger.all(some), seconds, time.sleep)


def _until_it_answers(ask: Callable[[], T], seconds: float, sleep: Callable[[float], None]) -> T:
    end, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return ask()
        except AuthenticationError:
            raise
        except RedisError as err:
            if time.monotonic() + pause > end:
                raise
            log.warning("the ledger does not answer (%s); trying again", err)
            sleep(pause)
            pause = min(2.0, pause * 2)
