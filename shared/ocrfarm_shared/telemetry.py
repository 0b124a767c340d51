"""Logs as JSON lines (or as lines for people), with the ids of what is being worked on put in by context, not through signatures."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# What a path or a name may hold and a line of a log may not: breaks that would make a second line of it, orders to a terminal, and signs
# that turn the direction in which the rest is shown.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """With such characters written as JSON writes them."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_context: ContextVar[dict[str, Any] | None] = ContextVar("ocrfarm_log_context", default=None)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the context's ids, and a traceback where there is one.

    `longest`: characters of a message (its beginning) and of a traceback (its end), where that matters.
    """

    def __init__(self, *, longest: int | None = None) -> None:
        super().__init__()
        self._longest = longest

    def format(self, record: logging.LogRecord) -> str:
        out: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[: self._longest],
            **(_context.get() or {}),
        }
        # Another process' traceback comes as text: `extra={"traceback": ...}`.
        told = self.formatException(record.exc_info) if record.exc_info else getattr(record, "traceback", None)
        if told:
            out["traceback"] = str(told)[-self._longest if self._longest else 0 :]
        return one_line(json.dumps(out, ensure_ascii=False))


class TextFormatter(logging.Formatter):
    """A line for people: time, level, message, and the context's ids behind it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={value}" for name, value in (_context.get() or {}).items())
        return one_line(f"{super().formatMessage(record)}{f'  [{ids}]' if ids else ''}")


def start_logging(level: str, form: str = "json") -> None:
    """Send this process's logs to standard error, as JSON lines or (`text`) for people. Called once, by the command that owns the
    process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if form == "text" else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Celery logs each received and finished task; the ledger already knows.
    for noisy in ("celery.worker.strategy", "celery.app.trace", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def log_context(**ids: Any) -> Iterator[None]:
    """Put these ids into every record logged inside."""
    token = _context.set({**(_context.get() or {}), **ids})
    try:
        yield
    finally:
        _context.reset(token)


def note(**ids: Any) -> None:
    """Put these ids into every record that is logged from now on inside the innermost `log_context`, by whatever is called in it or calls
    on after it. Outside of one nothing happens."""
    held = _context.get()
    if held is not None:
        held.update(ids)


def noted() -> dict[str, Any]:
    """The ids of the context."""
    return dict(_context.get() or {})
