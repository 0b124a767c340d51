"""`ocrfarm up` shows that the farm reads: documents go in through the HTTP interface, as anybody's do, and their text is printed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ocrfarm.cli.submit import KINDS
from ocrfarm.client import Client, Job
from ocrfarm_shared.contracts import Document, JobState, JobView
from ocrfarm_shared.errors import OcrFarmError, Unauthorized


class Stopped(Exception):
    """The farm is being stopped."""


def samples_of_checkout() -> list[Path]:
    """The documents in `samples/` of the checkout that this package is installed from; none where it came as a wheel."""
    folder = Path(__file__).resolve().parents[3] / "samples"
    return sorted(file for file in folder.glob("*") if file.suffix.lower() in KINDS)


def wait_until_ready(url: str, console: Console, stopping: threading.Event) -> str:
    """Until a worker can read. Returns version and commit as /readyz names them. Raises Stopped."""
    with (
        httpx.Client(base_url=url, timeout=5, trust_env=False) as http,
        console.status(
            "The farm is starting; the first time, its models are built, which takes a minute or two."
        ) as status,
    ):
        since = monotonic()
        while not stopping.is_set():
            try:
                answer = http.get("/readyz")
                if answer.status_code == 200:
                    told = answer.json()
                    return f"{told.get('version', '')} {told.get('commit', '')}".strip()
            except httpx.TransportError:
                pass
            if monotonic() - since > 5:
                status.update(f"The farm is starting ({monotonic() - since:.0f} s) …")
            stopping.wait(0.1)
    raise Stopped


@dataclass
class Reading:
    """One document under way, with its row in the progress display."""

    file: Path
    job: Job
    row: TaskID


@dataclass(frozen=True)
class Outcome:
    """`unread`: how many documents were not read whole; `first_text`: when the first text was printed (monotonic clock)."""

    unread: int
    first_text: float | None


def read(client: Client, files: Sequence[Path], console: Console, stopping: threading.Event) -> Outcome:
    """Send the documents, print each one's text as soon as it is there. Raises Stopped."""
    failed, first = 0, None
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    with bar:
        waiting: list[Reading] = []
        for file in files:
            try:
                job = client.submit(file, cache="refresh")
            except Unauthorized:
                raise
            except OcrFarmError as err:
                failed += 1
                console.print(_trouble(file, err.code, str(err)))
                continue
            waiting.append(Reading(file, job, bar.add_task(escape(file.name), total=None)))
        while waiting:
            if stopping.is_set():
                raise Stopped
            for one in list(waiting):
                view = one.job.refresh()
                bar.update(one.row, completed=view.progress.pages_done, total=view.progress.pages_total)
                if view.state.ended:
                    bar.stop_task(one.row)
                    waiting.remove(one)
                    failed += _show(one, view, console)
                    first = first or monotonic()
            stopping.wait(0.05 if waiting else 0)
    return Outcome(failed, first)


def _show(one: Reading, view: JobView, console: Console) -> int:
    """Print it; 1 where it was not read whole."""
    if view.state in (JobState.FAILED, JobState.CANCELLED):
        why = view.error
        console.print(_trouble(one.file, why.code if why else view.state, why.message if why else "It was not read."))
        return 1
    document = one.job.result(timeout_s=60)
    console.print(_panel(one.file, document, (view.ended_at or 0) - (view.started_at or view.created_at)))
    return 0 if view.state is JobState.SUCCEEDED else 1


def _panel(file: Path, document: Document, seconds: float) -> Panel:
    lines = [line for page in document.pages for line in page.lines]
    mean = sum(line.confidence for line in lines) / len(lines) if lines else None
    rows = Table.grid(padding=(0, 1))
    for page in document.pages:
        if document.page_count > 1:
            rows.add_row("", Text(f"— page {page.number} —", "dim"))
        if page.error:
            rows.add_row("", Text(f"{page.error.message} [{page.error.code}]", "red"))
        for line in page.lines:
            rows.add_row(Text(f"{line.confidence:.2f}", "dim"), Text(line.text))
    if not lines:
        rows.add_row("", Text("nothing is written here", "dim"))
    facts = f"{document.page_count} page{'s' if document.page_count != 1 else ''}, {len(lines)} lines, {seconds:.2f} s"
    if mean is not None:
        facts += f", confidence {mean:.3f}"
    return Panel(rows, title=Text(file.name, "bold"), subtitle=facts, title_align="left", subtitle_align="right")


def _trouble(file: Path, code: str, why: str) -> Panel:
    return Panel(
        Text(why, "red"), title=Text(file.name, "bold"), subtitle=Text(code), title_align="left", border_style="red"
    )
