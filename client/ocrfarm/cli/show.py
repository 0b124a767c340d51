"""`ocrfarm status`, `result`, `list` and `cancel`: asking a farm, and showing its answer."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import islice

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ocrfarm.client import Client
from ocrfarm_shared.contracts import FarmView, JobView
from ocrfarm_shared.errors import BadOption, OcrFarmError

PATIENCE_S = 5.0  # somebody waits for the answer
PIPED_WIDTH = 1000  # characters: what another program reads is not folded
COLOURS = {"succeeded": "green", "partial": "yellow", "failed": "red", "cancelled": "dim"}


def farm(url: str | None, key: str | None) -> None:
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        view = client.farm()
    console = Console()
    facts = Table.grid(padding=(0, 2))
    facts.add_row("farm", f"{client.url}  ocrfarm {view.version} {view.commit}".rstrip())
    facts.add_row("reading", f"{view.running_units} pages on {view.slots} worker processes")
    waiting = f", the oldest for {view.oldest_queued_s:.0f} s" if view.oldest_queued_s is not None else ""
    facts.add_row("waiting", f"{view.queued_units} pages{waiting}")
    facts.add_row("speed", f"{view.pages_per_minute:.0f} pages a minute, {view.pages_total} in all")
    facts.add_row("dead letters", str(view.dead_letters))
    console.print(facts)
    console.print(_nodes(view) if view.nodes else "No worker is alive: start one with `ocrfarm worker`.")
    for profile in view.profiles:
        if profile.waiting_for and view.slots:
            waits = "1 page waits" if profile.queued_units == 1 else f"{profile.queued_units} pages wait"
            console.print(f"{waits}: {data(profile.waiting_for)}", style="yellow")


def _nodes(view: FarmView) -> Table:
    """`share`: of the pages that the processes alive have read. `lines a second`: of one process, generated lines, when it started."""
    table = Table("node", "processes", "cores", "memory", "share", "lines a second", "reads", "version")
    pages = {node.name: int(node.info.get("pages_read") or 0) for node in view.nodes}
    for node in view.nodes:
        share = f"{100 * pages[node.name] / sum(pages.values()):.0f} %" if sum(pages.values()) else ""
        memory = f"{int(node.info['memory_mb']) / 1024:.1f} GB" if node.info.get("memory_mb") else ""
        lines = f"{float(node.info['lines_per_s']):.0f}" if node.info.get("lines_per_s") else ""
        reads = ", ".join(map(str, node.info.get("reads") or node.info.get("profiles") or ()))
        table.add_row(
            data(node.name), str(node.slots), str(node.info.get("cores") or ""), memory, share, lines, data(reads), node.version
        )  # fmt: skip
    return table


def job(job: str, url: str | None, key: str | None) -> None:
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        view = client.view(job)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("job", view.id)
    facts.add_row("state", _coloured(view))
    facts.add_row("document", data(view.filename or ""))
    facts.add_row("pages", _pages(view))
    facts.add_row("profile", view.profile)
    if view.queue_position is not None:
        facts.add_row("ahead of it", str(view.queue_position))
    if view.waiting_for:
        facts.add_row("waits", data(view.waiting_for), style="yellow")
    if view.attempt > 1:
        facts.add_row("attempts", str(view.attempt))
    facts.add_row("sent", clock(view.created_at))
    if view.ended_at is not None:
        facts.add_row("ended", f"{clock(view.ended_at)} (after {view.ended_at - view.created_at:.1f} s)")
    if view.error:
        facts.add_row("why", data(f"{view.error.message} [{view.error.code}]"), style="red")
    Console().print(facts)


def profiles(url: str | None, key: str | None) -> None:
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        found = client.profiles()
    table = Table("profile", "what it is", "languages")
    for profile in found:
        table.add_row(
            f"{profile.name}{' (default)' if profile.default else ''}",
            profile.description,
            ", ".join(profile.languages),
        )
    Console().print(table)


def result(job: str, form: str, wait_s: float | None, url: str | None, key: str | None) -> None:
    if form == "pdf" and sys.stdout.isatty():
        raise BadOption(f"A PDF is nothing for a terminal: `ocrfarm result {job} --format pdf > document.pdf`.")
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        body = client.result_as(job, form, wait_s)
    sys.stdout.buffer.write(body)
    if form == "txt" and not body.endswith(b"\n") and sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")


def jobs(state: str | None, tag: str | None, limit: int, url: str | None, key: str | None) -> None:
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        found = list(islice(client.list(state=state, tag=tag), limit))
    whole = ("job", "state", "pages", "sent")  # 80 columns hold these; the names fold beside them
    table = Table(
        *(Column(name, no_wrap=True) for name in whole), Column("document", overflow="fold"), box=None, padding=(0, 1)
    )
    tagged = any(view.tag for view in found)
    if tagged:
        table.add_column("tag", overflow="fold")
    for view in found:
        row = [
            view.id,
            _coloured(view),
            _pages(view, short=True),
            clock(view.created_at, short=True),
            data(view.filename or ""),
        ]
        table.add_row(*row, *([data(view.tag or "")] if tagged else []))
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table if found else "No such jobs.")


def cancel(jobs: list[str], url: str | None, key: str | None) -> int:
    """Exit code: 1 if any could not be cancelled."""
    failed = 0
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        for job in jobs:
            try:
                client.cancel(job)
                print(f"{job}: cancelled")
            except OcrFarmError as err:
                failed = 1
                print(f"{job}: {err}", file=sys.stderr)
    return failed


def printable(text: str) -> str:
    """What came from elsewhere is data: a control character in it is no order to the terminal, and turns no text round."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def data(text: str) -> str:
    """For a cell of a table: printable, in one line, and no markup."""
    return escape(printable(text.replace("\n", "\N{REPLACEMENT CHARACTER}")))


def _coloured(view: JobView) -> str:
    colour = COLOURS.get(view.state)
    return f"[{colour}]{view.state}[/]" if colour else str(view.state)


def _pages(view: JobView, *, short: bool = False) -> str:
    total = view.progress.pages_total
    return f"{view.progress.pages_done}/{'?' if total is None else total}" + (
        " cached" if view.cached and not short else ""
    )


def clock(seconds: float, *, short: bool = False) -> str:
    """In this machine's time. Short: today only the time, else only the date."""
    then = datetime.fromtimestamp(seconds, UTC).astimezone()
    if not short:
        return then.strftime("%Y-%m-%d %H:%M:%S")
    return then.strftime("%H:%M:%S" if then.date() == datetime.now(UTC).astimezone().date() else "%Y-%m-%d")
