"""`ocrfarm dead`: only the commands' options stand here; what they do is imported when one is run."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    name="dead",
    help="Dead letters: jobs that failed for good through no fault of the document.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Url = Annotated[str | None, typer.Option("--url", help="The farm's address. [default: OCRFARM_URL, or this machine's]")]
Key = Annotated[str | None, typer.Option("--key", help="API key. [default: OCRFARM_API_KEY]", show_default=False)]


@app.command("list")
def listing(url: Url = None, key: Key = None) -> None:
    """Dead letters, newest first, each with its cause."""
    from ocrfarm.cli import show_dead

    show_dead.listing(url, key)


@app.command()
def show(job: Annotated[str, typer.Argument(help="As the list names it.")], url: Url = None, key: Key = None) -> None:
    """One dead letter: every attempt with its node, process, times, error and last log lines."""
    from ocrfarm.cli import show_dead

    show_dead.letter(job, url, key)


@app.command()
def replay(
    jobs: Annotated[list[str] | None, typer.Argument(help="Job ids.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every dead letter that the list shows.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Read their documents again, each as a new job; the dead letter stays in the list until it expires."""
    from ocrfarm.cli import show_dead

    if bool(jobs) == every:
        raise typer.BadParameter("name some jobs, or say --all")
    raise typer.Exit(show_dead.replay(jobs or [], url, key))
