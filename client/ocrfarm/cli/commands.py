"""The commands of a person who uses a farm. Only their options stand here; what they do is imported when one is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ocrfarm.cli import dead, keys, node

Url = Annotated[str | None, typer.Option("--url", help="The farm's address. [default: OCRFARM_URL, or this machine's]")]
Key = Annotated[str | None, typer.Option("--key", help="API key. [default: OCRFARM_API_KEY]", show_default=False)]


def register(app: typer.Typer) -> None:
    for command in (submit, batch, status, result, jobs, cancel, doctor, version):
        app.command("list" if command is jobs else None)(command)
    app.add_typer(keys.app, name="keys")
    app.add_typer(dead.app, name="dead")
    app.add_typer(node.app, name="node")


def submit(
    files: Annotated[list[str], typer.Argument(help="Files, folders, globs; `-` reads one document from stdin.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the results; `-` prints them. [default: beside the inputs]"),
    ] = None,
    format: Annotated[
        Literal["txt", "json", "md", "tsv", "hocr", "alto", "pdf"],
        typer.Option("--format", "-f", help="What to write."),
    ] = "txt",
    profile: Annotated[str | None, typer.Option(help="`ocrfarm status --profiles` lists them.")] = None,
    layout: Annotated[
        Literal["auto", "page", "line"] | None, typer.Option(help="`line`: one line, no detection.")
    ] = None,
    priority: Annotated[Literal["interactive", "normal", "bulk"] | None, typer.Option()] = None,
    tag: Annotated[str | None, typer.Option(help="A word to find these jobs by later.")] = None,
    pages: Annotated[str | None, typer.Option(help="Pages, counted from 1: `3`, `1-4,9`, `5-`.")] = None,
    cache: Annotated[
        Literal["use", "refresh", "off"] | None, typer.Option(help="Whether a former reading will do.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, max=256, help="Documents under way at once.")
    ] = 16,
    url: Url = None,
    key: Key = None,
) -> None:
    """Send documents to the farm and write what it reads."""
    from ocrfarm.cli.submit import Order, run

    choices = {"profile": profile, "layout": layout, "priority": priority, "tag": tag, "pages": pages, "cache": cache}
    order = Order(files, out, format, concurrency, {name: value for name, value in choices.items() if value})  # type: ignore[arg-type]  # a plain dict, checked by the farm
    raise typer.Exit(run(order, url, key))


def batch(
    folder: Annotated[Path, typer.Argument(help="The folder; what is under it is read too.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results, and for what is known of the batch.")
    ],
    format: Annotated[
        Literal["txt", "json", "md", "tsv", "hocr", "alto"], typer.Option("--format", "-f", help="What to write.")
    ] = "txt",
    pattern: Annotated[
        str | None,
        typer.Option(help="Only files whose name or path matches: `*.png`, `2024/*`. [default: all documents]"),
    ] = None,
    profile: Annotated[str | None, typer.Option(help="`ocrfarm status --profiles` lists them.")] = None,
    layout: Annotated[
        Literal["auto", "page", "line"] | None, typer.Option(help="`line`: one line, no detection.")
    ] = None,
    priority: Annotated[
        Literal["interactive", "normal", "bulk"],
        typer.Option(help="Whom it may keep waiting: nobody, or not only you."),
    ] = "bulk",
    tag: Annotated[str | None, typer.Option(help="A word to find these jobs by later.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Send once more what failed before.")] = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, max=64, help="Requests under way at once.")
    ] = 8,
    url: Url = None,
    key: Key = None,
) -> None:
    """Read a folder of any size. Cut it when you like: the same command goes on, and sends nothing twice."""
    from ocrfarm.cli.batch import run
    from ocrfarm.cli.folders import Order

    choices = {"profile": profile, "layout": layout, "priority": priority, "tag": tag}
    known = {name: value for name, value in choices.items() if value}
    order = Order(folder, out, format, pattern, concurrency, again, known)  # type: ignore[arg-type]
    raise typer.Exit(run(order, url, key))


def status(
    job: Annotated[str | None, typer.Argument(help="A job; left out, the farm.")] = None,
    profiles: Annotated[bool, typer.Option("--profiles", help="List the profiles instead.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """How the farm, or one job, is doing."""
    from ocrfarm.cli import show

    if profiles:
        show.profiles(url, key)
    elif job:
        show.job(job, url, key)
    else:
        show.farm(url, key)


def result(
    job: Annotated[str, typer.Argument()],
    format: Annotated[
        str, typer.Option("--format", "-f", help="txt, json, pdf, and what else the farm's /docs list.")
    ] = "txt",
    wait: Annotated[float | None, typer.Option(help="Seconds to wait for it. [default: as long as it takes]")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Print what was read, waiting for it where it is not ready."""
    from ocrfarm.cli import show

    show.result(job, format, wait, url, key)


def jobs(
    state: Annotated[str | None, typer.Option(help="queued, running, succeeded, partial, failed, cancelled")] = None,
    tag: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 20,
    url: Url = None,
    key: Key = None,
) -> None:
    """Jobs, newest first."""
    from ocrfarm.cli import show

    show.jobs(state, tag, limit, url, key)


def cancel(jobs: Annotated[list[str], typer.Argument(help="Job ids.")], url: Url = None, key: Key = None) -> None:
    """Stop jobs that have not ended."""
    from ocrfarm.cli import show

    raise typer.Exit(show.cancel(jobs, url, key))


def doctor() -> None:
    """Say what is wrong with this machine, and what to do about it."""
    from ocrfarm.cli.doctor import run

    raise typer.Exit(run())


def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    print(installed("ocrfarm"))
