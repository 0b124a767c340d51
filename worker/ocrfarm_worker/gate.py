"""Whether this node's pool takes messages now. Its processes say so, its parent, which takes them, looks.

A drained node must not take what it then may not read. The ledger tells each process so with its heartbeat (and refuses a claim); the
parent has no connection of its own to ask with, and needs none: both see one page of memory that is older than the fork.
"""

from __future__ import annotations

import mmap
import struct
import time
from types import MethodType
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks

_UNTIL = struct.Struct("d")


class Gate:
    """Closed until a moment of the monotonic clock, which all processes of a machine share. Make it before the pool's processes are."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.open()

    def close_for(self, seconds: float) -> None:
        _UNTIL.pack_into(self._memory, 0, time.monotonic() + seconds)

    def open(self) -> None:
        _UNTIL.pack_into(self._memory, 0, 0.0)

    @property
    def closed(self) -> bool:
        until: float = _UNTIL.unpack_from(self._memory, 0)[0]
        return time.monotonic() < until


GATE = Gate()


class AtTheGate(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """The consumer asks Redis for no message while the gate is closed.

    A request that is under way (BRPOP, a second) comes to its end: were its answer left unread, the message in it would wait until the
    sweep misses it. Who then claims it puts it back.
    """

    requires = (Tasks,)

    def start(self, consumer: Any) -> None:
        channel = consumer.task_consumer.channel
        free = channel.qos.can_consume

        def can_consume(_: object) -> bool:
            if GATE.closed and not channel._in_poll:
                return False
            return bool(free())

        channel.qos.can_consume = MethodType(can_consume, channel.qos)
