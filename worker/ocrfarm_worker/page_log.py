"""The last log lines about the page at hand, kept so that a failed attempt can be looked into without its node's log.

A ring of whole records, as JSON texts: MOST_LINES and MOST_BYTES at the most, the oldest go first. The holder stores it with an attempt
that failed; each heartbeat brings the ledger what is new, so that a process that is killed leaves what it had said by then. What the
libraries under us print by themselves (a C library's last words on standard error) is no record: it is in the node's log alone.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from ocrfarm_shared.telemetry import JsonFormatter

MOST_LINES = 40
MOST_BYTES = 4096
LONGEST_LINE = 1500  # characters of a message or a traceback's end


class PageLog(logging.Handler):
    """Keeps what this process logs between `begin` and `end`. Safe to read from the heart's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter(longest=LONGEST_LINE))
        self._guard = threading.Lock()
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._about: str | None = None
        self._unsent = False

    def begin(self, unit: str) -> None:
        with self._guard:
            self._lines.clear()
            self._bytes, self._about, self._unsent = 0, unit, False

    def end(self) -> None:
        with self._guard:
            self._about = None

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        with self._guard:
            if self._about is None:
                return
            self._lines.append(line)
            self._bytes += len(line.encode("utf8", "replace"))
            while len(self._lines) > MOST_LINES or (self._bytes > MOST_BYTES and len(self._lines) > 1):
                self._bytes -= len(self._lines.popleft().encode("utf8", "replace"))
            self._unsent = True

    def lines(self) -> list[str]:
        """All of them, oldest first."""
        with self._guard:
            return list(self._lines)

    def unsent(self, unit: str) -> list[str] | None:
        """The lines about this unit, where there are new ones since the last call; else None."""
        with self._guard:
            if self._about != unit or not self._unsent:
                return None
            self._unsent = False
            return list(self._lines)
