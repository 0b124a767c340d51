"""What `ocrfarm dead` shows."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table

from ocrfarm.cli.show import PATIENCE_S, PIPED_WIDTH, clock, data, printable
from ocrfarm.client import Client
from ocrfarm_shared.contracts import Attempt
from ocrfarm_shared.errors import OcrFarmError


def listing(url: str | None, key: str | None) -> None:
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        found = client.dead_letters()
    whole = (Column(name, no_wrap=True) for name in ("job", "failed", "why", "attempts"))
    table = Table(*whole, Column("document", overflow="fold"), box=None, padding=(0, 1))
    for letter in found:
        name = data(letter.filename or "") + ("" if letter.replayable else " (no longer kept)")
        failed = clock(letter.failed_at, short=True)
        table.add_row(letter.id, failed, letter.failure.code, str(len(letter.attempts)), name)
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table if found else "No dead letters.")


def letter(job: str, url: str | None, key: str | None) -> None:
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        found = client.dead_letter(job)
    say(f"job       {found.id}")
    say(f"document  {found.filename or ''}{'' if found.replayable else ' (no longer kept)'}")
    say(f"failed    {clock(found.failed_at)}")
    say(f"why       {found.failure.message} [{found.failure.code}]")
    for attempt in found.attempts:
        _attempt(attempt)
    if found.replayable:
        say(f"\n`ocrfarm dead replay {found.id}` reads it again, as a new job.")


def _attempt(attempt: Attempt) -> None:
    what = "opening the document" if attempt.kind == "plan" else f"page {attempt.page}"
    took = ""
    if attempt.started is not None and attempt.ended is not None:
        took = f" from {clock(attempt.started)} for {attempt.ended - attempt.started:.1f} s"
    say(f"\nattempt {attempt.attempt} on {what}{took}, process {attempt.process or attempt.node or '?'}")
    say(f"  {attempt.failure.code}: {attempt.failure.message}")
    for line in attempt.log:
        say(f"  | {line.get('time', '')} {line.get('level', '')} {line.get('logger', '')}: {line.get('message', '')}")
        for row in str(line.get("traceback") or "").splitlines():
            say(f"  |   {row}")


def say(text: str) -> None:
    print(printable(text))


def replay(jobs: Sequence[str], url: str | None, key: str | None) -> int:
    """Exit code: 1 if any could not be run again. No `jobs`: all that the list shows and whose document is kept."""
    failed = 0
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        for job in jobs or [letter.id for letter in client.dead_letters() if letter.replayable]:
            try:
                print(f"{job}: read again as the new job {client.replay(job).id}")
            except OcrFarmError as err:
                failed = 1
                print(f"{job}: {err}", file=sys.stderr)
    return failed
