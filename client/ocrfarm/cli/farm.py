"""`ocrfarm up`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(up)


def up(
    files: Annotated[list[Path] | None, typer.Argument(help="Documents to read first. [default: the samples]")] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop afterwards; exit code 0 if all were read.")] = False,
    no_samples: Annotated[bool, typer.Option("--no-samples", help="Read nothing by itself.")] = False,
) -> None:
    """Start a whole farm on this machine, read some documents, and go on serving until Ctrl-C."""
    from ocrfarm.farm import CannotStart
    from ocrfarm.farm.up import run

    try:
        code = run(files or [], once=once, samples=not no_samples)
    except CannotStart as err:
        typer.echo(f"ocrfarm up: {err}", err=True)
        code = 2
    raise typer.Exit(code)
