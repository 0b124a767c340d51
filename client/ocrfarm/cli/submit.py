"""`ocrfarm submit`: many documents in, their texts out."""

from __future__ import annotations

import asyncio
import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ocrfarm.async_client import AsyncClient
from ocrfarm.calls import Choices
from ocrfarm_shared.contracts import JobState, JobView
from ocrfarm_shared.errors import BadOption, OcrFarmError, from_failure, no_file

KINDS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pdf"}
STDIN = Path("-")
LOOK_S = 5.0  # a job's pages are counted anew that often


@dataclass(frozen=True)
class Order:
    """What was asked for. `out` None: beside the inputs; `-`: printed."""

    files: Sequence[str]
    out: Path | None
    format: Literal["txt", "json", "md", "tsv", "hocr", "alto", "pdf"]
    concurrency: int
    choices: Choices


@dataclass(frozen=True)
class Item:
    """One document to send; `place` is where it lies under what was named, and where its result goes under --out."""

    source: Path
    place: Path


@dataclass
class Tally:
    done: int = 0
    failed: list[tuple[Path, str, str]] = field(default_factory=list)
    """The document, the error's code, its sentence."""


def find(named: Sequence[str]) -> list[Item]:
    """The documents that files, folders, globs and `-` name, each once, in that order. In folders only files with the ending of a
    document count. Raises BadOption for what names nothing."""
    found: dict[Path, Item] = {}
    for name in named:
        items = list(_expand(name))
        if not items:
            raise BadOption(_nothing(name))
        for item in items:
            found.setdefault(item.source if item.source == STDIN else item.source.resolve(), item)
    return list(found.values())


def _nothing(name: str) -> str:
    if Path(name).is_dir():
        return f"{name} names no document: no file in that folder ends in {', '.join(sorted(KINDS))}."
    if glob.has_magic(name):
        return f"{name} matches no file here."
    return no_file(name)


def _expand(name: str) -> Iterator[Item]:
    path = Path(name)
    if name == "-":
        yield Item(STDIN, Path("stdin"))
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and file.suffix.lower() in KINDS and not _made_of_another(file):
                yield Item(file, file.relative_to(path))
    elif path.is_file():
        yield Item(path, Path(path.name))
    elif glob.has_magic(name):
        for match in sorted(glob.glob(name, recursive=True)):  # noqa: PTH207 - absolute patterns too
            if Path(match).is_file():
                yield Item(Path(match), Path(Path(match).name))


def _made_of_another(file: Path) -> bool:
    """A searchable PDF that stands beside its document (`a.png.pdf` beside `a.png`) is a result, and not to be read again."""
    return file.suffix == ".pdf" and Path(file.stem).suffix.lower() in KINDS and file.with_name(file.stem).is_file()


def targets(items: Sequence[Item], out: Path | None, form: str) -> dict[Item, Path | None]:
    """Where each result goes; None: printed. The input's full name is kept (`a.png` -> `a.png.txt`), so that `a.png` and `a.pdf`
    do not meet; two inputs that would still meet under --out are numbered."""
    taken: set[Path] = set()
    chosen: dict[Item, Path | None] = {}
    for item in items:
        if out == STDIN or (item.source == STDIN and out is None):
            chosen[item] = None
            continue
        base = item.source if out is None else out / item.place
        target, number = base.with_name(f"{base.name}.{form}"), 2
        while target in taken:
            target, number = base.with_name(f"{base.name}-{number}.{form}"), number + 1
        taken.add(target)
        chosen[item] = target
    return chosen


def run(order: Order, url: str | None, key: str | None) -> int:
    """Exit code: 0 if every document was read whole, 1 if any was not."""
    items = find(order.files)
    if order.format == "pdf" and order.out == STDIN and (len(items) > 1 or sys.stdout.isatty()):
        raise BadOption("One PDF can be printed into a file or a pipe; for more, name a folder with --out.")
    console = Console(stderr=True)
    chosen = targets(items, order.out, order.format)
    tally = asyncio.run(_send_all(order, chosen, url, key, console))
    if tally.done and any(chosen.values()):
        where = f"in {order.out}" if order.out else "beside the inputs"
        console.print(f"{tally.done} of {len(items)} read; the results are {where}.", markup=False, highlight=False)
    if tally.failed:
        table = Table("document", "code", "why", title=f"{len(tally.failed)} of {len(items)} not read")
        for source, code, why in sorted(tally.failed):
            table.add_row(escape(str(source)), code, escape(why))
        console.print(table)
    return 1 if tally.failed else 0


async def _send_all(
    order: Order, chosen: dict[Item, Path | None], url: str | None, key: str | None, console: Console
) -> Tally:
    async with AsyncClient(url, key, retry_for_s=3) as farm:
        await farm.profiles()  # no farm, or a wrong key: one sentence now, and not one for each document a minute later
    tally, gate = Tally(), asyncio.Semaphore(order.concurrency)
    printing = asyncio.Lock()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # where nobody watches it would leave an empty line
    )
    with bar:
        total = bar.add_task("documents", total=len(chosen))
        async with AsyncClient(url, key) as farm, asyncio.TaskGroup() as group:

            async def one(item: Item, target: Path | None) -> None:
                async with gate:
                    try:
                        body = await _read(farm, order, item, bar)
                        await asyncio.to_thread(_write, body, target) if target else await _print(body, printing, bar)
                        tally.done += 1
                    except OcrFarmError as err:
                        tally.failed.append((item.source, err.code, str(err)))
                    except OSError as err:
                        tally.failed.append((item.source, "file", f"{err.strerror}: {err.filename}"))
                    bar.advance(total)

            for item, target in chosen.items():
                group.create_task(one(item, target))
    return tally


async def _read(farm: AsyncClient, order: Order, item: Item, bar: Progress) -> bytes:
    """Raises the job's error where it failed, and where a page of it could not be read."""
    source = sys.stdin.buffer.read() if item.source == STDIN else item.source
    job = await farm.submit(source, filename=item.place.name, **order.choices)
    row: TaskID | None = None
    view = job.view
    while not view.state.ended:
        try:
            view = await job.wait(LOOK_S if row is None else 1.0)
        except TimeoutError:
            view = await job.refresh()
        row = _draw(bar, row, item, view)
    if row is not None:
        bar.remove_task(row)
    body = await farm.result_as(job.id, order.format)
    if view.state is JobState.PARTIAL:
        raise from_failure(view.error) if view.error else OcrFarmError(f"Some pages of job {job.id} could not be read.")
    return body


def _draw(bar: Progress, row: TaskID | None, item: Item, view: JobView) -> TaskID | None:
    """A bar of its own for a document that takes long enough to be looked at."""
    total = view.progress.pages_total
    if row is None:
        return None if view.state.ended else bar.add_task(f"  {escape(item.place.name)}", total=total)
    bar.update(row, completed=view.progress.pages_done, total=total)
    return row


def _write(body: bytes, target: Path) -> None:
    """Whole or not at all: a file that is there is a result."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    partial.write_bytes(body)
    partial.replace(target)


async def _print(body: bytes, printing: asyncio.Lock, bar: Progress) -> None:
    async with printing:
        bar.stop()  # stdout may be the same terminal
        sys.stdout.buffer.write(body if body.endswith(b"\n") or body.startswith(b"%PDF-") else body + b"\n")
        sys.stdout.buffer.flush()
        bar.start()
