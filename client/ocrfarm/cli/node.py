"""`ocrfarm node`: only the commands' options stand here; what they do is imported when one is run."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    name="node",
    help="Worker nodes: let one join, see them, let one rest. On the node itself: `ocrfarm worker join`.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Url = Annotated[str | None, typer.Option("--url", help="A farm elsewhere. [default: OCRFARM_URL, or the farm here]")]
Key = Annotated[
    str | None, typer.Option("--key", help="A key of the role `admin`. [default: OCRFARM_API_KEY]", show_default=False)
]
Named = Annotated[list[str], typer.Argument(help="Nodes, as `ocrfarm node list` calls them.")]


@app.command()
def token(
    name: Annotated[str, typer.Option(help="A note: for which machines.")] = "",
    expires: Annotated[str, typer.Option(help="Such as 90d, 12h, 30m. [default: never]")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the token alone, for a script.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a node token and print it, this once: an API key of the role `node`. `ocrfarm keys revoke` takes it back.

    One may serve for many nodes; with one for each, each can be shut out alone. SECURITY.md says what a stolen one can do.
    """
    from ocrfarm.cli.node_work import make_token

    make_token(name, expires, url, key, quiet=quiet)


@app.command("list")
def listing(url: Url = None, key: Key = None) -> None:
    """The nodes that are alive, and those that joined within a month and are away."""
    from ocrfarm.cli.node_work import show

    show(url, key)


@app.command()
def drain(nodes: Named, url: Url = None, key: Key = None) -> None:
    """Let nodes finish what they hold and take no more: before one is switched off, say. It holds until `undrain`."""
    from ocrfarm.cli.node_work import say

    raise typer.Exit(say(nodes, url, key, on=True))


@app.command()
def undrain(nodes: Named, url: Url = None, key: Key = None) -> None:
    """Let nodes that were drained take pages again."""
    from ocrfarm.cli.node_work import say

    raise typer.Exit(say(nodes, url, key, on=False))
