"""What a worker process counts of the pages that it reads, and how much memory it takes; its heart tells the ledger (counting.py)."""

from __future__ import annotations

import os
from pathlib import Path

from ocrfarm_models.engines import Engines
from ocrfarm_shared.contracts import Page
from ocrfarm_shared.counting import LINES, PAGE, READING, STAGE, WAIT, tally
from ocrfarm_shared.ledger.calls import Recorded
from ocrfarm_shared.ledger.records import ClaimedUnit

_LATEST = 0.2  # what the last page weighs in a process' pace


def claimed(unit: ClaimedUnit) -> None:
    if unit.waited_s is not None and unit.kind != "artefact":
        tally.observe(WAIT, unit.priority, unit.waited_s)


def page(unit: ClaimedUnit, read: Page, recorded: Recorded, engines: Engines, seconds: float) -> None:
    """A page was recorded; it took that long from its claim."""
    tally.count("lines_read", n=len(read.lines))
    for line in read.lines:
        tally.count(LINES, unit.profile, step(line.model, engines), line.model)
    for stage, ms in read.timings_ms.items():
        tally.observe(STAGE, stage, ms / 1000)
    tally.observe(PAGE, unit.profile, seconds)
    if recorded.took_s is not None:
        tally.observe(READING, unit.priority, recorded.took_s)


def step(model: str, engines: Engines) -> str:
    """Which step of the profile had the last word on a line: of a cascade with first readers `first`, `main` or `fallback`;
    `partly` where a first reader kept some of its words.

    A profile without first readers is no part of the share that small models settle: its lines are `only`, or `reread` by its fallback.
    """
    if "+" in model:
        return "partly"
    if any(reader.recognizer.spec.id == model for reader in engines.first):
        return "first"
    again = engines.fallback is not None and engines.fallback.spec.id == model
    if engines.first:
        return "fallback" if again else "main"
    return "reread" if again else "only"


def pace(former: float | None, seconds: float) -> float:
    """Seconds a page, the last pages weighing most."""
    return seconds if former is None else (1 - _LATEST) * former + _LATEST * seconds


def memory_bytes(child: int | None = None) -> int:
    """What this process and the one that opens its documents have in memory (resident; proc(5), statm); 0 where the kernel does not say."""
    return sum(_resident(pid) for pid in ("self", child) if pid is not None)


def _resident(pid: int | str) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
