"""What a process counts of its own work, until the ledger is told: lines by model, how long each stage took.

Workers serve no HTTP, and processes come and go by the hundred documents, so nobody can ask them. Each keeps what it counted since its
last heartbeat, and that heartbeat brings it: one script every few seconds for all of it, where counting each page by itself would be a
dozen commands of Redis a page. A gateway's `/metrics` tells the sums. A process that is killed takes its last seconds with it; what the
promise hangs on (pages, jobs, attempts) is counted by the ledger's transitions themselves, never here.

A field is `NAME` or `NAME:LABEL:...`. Durations are histograms: a field for each bucket that has any (`NAME:LABEL:le:BOUND`, not
cumulative, seconds) and the sum (`NAME:LABEL:us`, microseconds).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping

# Upper bounds of the buckets, in seconds. Parts of one page's reading, and what a document's sender waits for.
PARTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
WHOLE = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)

STAGE = "stage_s"  # by stage
MODEL = "model_s"  # by model: one call of ONNX Runtime
PAGE = "page_s"  # by profile: from claim to recorded
WAIT = "wait_s"  # by priority: from a document's acceptance to the first process that takes it up
READING = "reading_s"  # by priority: from a document's acceptance to its last page
BOUNDS: Mapping[str, tuple[float, ...]] = {STAGE: PARTS, MODEL: PARTS, PAGE: PARTS, WAIT: WHOLE, READING: WHOLE}

LINES = "lines"  # by profile, step (the worker's counted.py) and model


def label(text: str) -> str:
    """The text as a part of a field: the separator cannot stand in it, and it is not long."""
    return text.replace(":", "_")[:64] or "none"


class Tally:
    """Counts since they were last taken. Safe to use from several threads: a page is read in one, the heart beats in another."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._counts: dict[str, int] = {}

    def count(self, name: str, *labels: str, n: int = 1) -> None:
        field = ":".join((name, *map(label, labels)))
        with self._guard:
            self._counts[field] = self._counts.get(field, 0) + n

    def observe(self, name: str, of: str, seconds: float) -> None:
        """One duration into the histogram `name` of BOUNDS."""
        bounds = BOUNDS[name]
        place = bisect_left(bounds, seconds)
        bound = f"{bounds[place]:g}" if place < len(bounds) else "+Inf"
        self.count(name, of, "le", bound)
        self.count(name, of, "us", n=round(seconds * 1e6))

    def take(self) -> dict[str, int]:
        """All counts, which begin at zero again."""
        with self._guard:
            taken, self._counts = self._counts, {}
        return taken

    def give_back(self, taken: Mapping[str, int]) -> None:
        """Counts that the ledger did not hear: they go with the next ones."""
        with self._guard:
            for field, n in taken.items():
                self._counts[field] = self._counts.get(field, 0) + n


tally = Tally()
"""This process's."""
