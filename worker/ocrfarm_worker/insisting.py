"""Calls of the ledger while Redis is away: made again until it answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
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
    end, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return ledger(call)
        except AuthenticationError:
            raise
        except RedisError as err:
            if time.monotonic() + pause > end:
                raise
            log.warning("the ledger does not answer (%s); trying again", err)
            sleep(pause)
            pause = min(2.0, pause * 2)
