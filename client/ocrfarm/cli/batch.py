"""`ocrfarm batch FOLDER --out DIR`: a folder of any size, read as one batch, and gone on with wherever it was cut.

Three things happen at once: the folder is walked, files are sent some at a time, and results are fetched in the order in which they end.
What is known is in the manifest, so that memory does not grow with the folder.
"""

from __future__ import annotations

import asyncio
import csv
from itertools import islice

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ocrfarm.async_client import AsyncClient
from ocrfarm.cli.batch_work import Work
from ocrfarm.cli.folders import Order
from ocrfarm.cli.manifest import Manifest
from ocrfarm_shared.errors import BadOption

ERRORS = "errors.csv"
SHOWN = 30
PATIENCE_S = 1800.0  # a farm that is full or away may take its time over a folder of thousands


def run(order: Order, url: str | None, key: str | None) -> int:
    """Exit code: 0 if every file was read whole, 1 if any was not, 130 where it was interrupted."""
    if not order.folder.is_dir():
        raise BadOption(
            f"{order.folder} is no folder; `ocrfarm submit` takes single files. Unpack a zip, or POST it to /v1/batches."
        )
    order.out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    manifest = Manifest(order.out, order.folder, order.choices)
    try:
        asyncio.run(_work(order, manifest, url, key, console))
    except KeyboardInterrupt:
        console.print(
            "Stopped. The farm goes on with what it has; the same command goes on from here.", highlight=False
        )
        return 130
    except BaseExceptionGroup as group:
        raise _first(group) from None
    else:
        return _report(order, manifest, console)
    finally:
        manifest.close()


async def _work(order: Order, manifest: Manifest, url: str | None, key: str | None, console: Console) -> None:
    async with AsyncClient(url, key, retry_for_s=3) as farm:
        await farm.profiles()  # no farm, or a wrong key: one sentence now
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    async with AsyncClient(url, key, retry_for_s=PATIENCE_S) as farm:
        with bar:
            task = bar.add_task("files", total=None)
            await Work(order, manifest, farm, lambda done, total: bar.update(task, completed=done, total=total)).all()


def _report(order: Order, manifest: Manifest, console: Console) -> int:
    counts = manifest.counts()
    total, done, failed = sum(counts.values()), counts.get("done", 0), counts.get("failed", 0)
    errors = order.out / ERRORS
    console.print(f"{done} of {total} read; the results are in {order.out}.", markup=False, highlight=False)
    if not failed:
        errors.unlink(missing_ok=True)
        return 0 if done == total else 1
    with errors.open("w", encoding="utf8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("file", "code", "why"))
        for row in manifest.failed():
            rows.writerow((row.path, row.code, row.message))
    table = Table("file", "code", "why", title=f"{failed} of {total} not read")
    for row in islice(manifest.failed(), SHOWN):
        table.add_row(escape(row.path), row.code or "", escape(row.message or ""))
    console.print(table)
    console.print(f"All of them are in {errors}; `--again` sends them once more.", markup=False, highlight=False)
    return 1


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first, out of what several tasks said."""
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one
