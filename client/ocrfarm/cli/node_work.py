"""What `ocrfarm node` does."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from ocrfarm.cli.keys_work import Wish, make
from ocrfarm.cli.show import PATIENCE_S, PIPED_WIDTH, clock, data
from ocrfarm.client import Client
from ocrfarm_shared.contracts import NodeView
from ocrfarm_shared.errors import OcrFarmError
from ocrfarm_shared.keys import DEFAULT_TENANT, Role

COLOURS = {"serving": "green", "draining": "yellow", "drained": "yellow", "away": "dim"}


def make_token(name: str, expires: str, url: str | None, key: str | None, *, quiet: bool) -> None:
    use = "On the node: `ocrfarm worker join URL TOKEN`, with this farm's address as it is reached from there."
    make(Wish(DEFAULT_TENANT, (Role.NODE,), name, expires, {}), url, key, quiet=quiet, use=use)


def show(url: str | None, key: str | None) -> None:
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        found = client.nodes.list()
    table = Table(
        *(Column(name, no_wrap=True) for name in ("node", "state", "processes", "pages", "heat")),
        *(Column(name, overflow="fold") for name in ("profiles", "version", "seen")),
        box=None,
        padding=(0, 1),
    )
    for node in found:
        table.add_row(
            data(node.name),
            f"[{COLOURS.get(node.state, 'red')}]{data(node.state)}[/]",
            str(node.slots),
            str(node.info.get("pages_read", "")),
            data(heat(node.info)),
            data(", ".join(map(str, node.info.get("profiles", ())))),
            data(node.version),
            clock(node.seen_at, short=True) if node.seen_at else "",
        )
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table if found else "No node is alive, and none has joined; `ocrfarm node token` lets one.")


def heat(info: dict[str, Any]) -> str:
    """`61 °C, throttled`; empty where the node does not say."""
    degrees, trouble = info.get("temperature_c"), info.get("throttled")
    parts = [f"{degrees:.0f} °C"] if isinstance(degrees, int | float) else []
    return ", ".join(parts + (list(map(str, trouble)) if isinstance(trouble, list) else []))


def say(named: list[str], url: str | None, key: str | None, *, on: bool) -> int:
    """Exit code: 1 if any is not known."""
    failed = 0
    with Client(url, key, retry_for_s=PATIENCE_S) as client:
        for name in named:
            try:
                print(_told(client.nodes.drain(name) if on else client.nodes.undrain(name), on=on))
            except OcrFarmError as err:
                failed = 1
                print(f"{name}: {err}", file=sys.stderr)
    return failed


def _told(view: NodeView, *, on: bool) -> str:
    if not on:
        return f"{view.name}: takes pages again"
    if view.state == "draining":
        return f"{view.name}: finishes what it holds and takes no more; `ocrfarm node list` shows when it is drained"
    return f"{view.name}: takes no more"
