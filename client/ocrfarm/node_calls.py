"""The calls about worker nodes, and the blocking client's part that makes them: `Client().nodes`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

from ocrfarm.calls import Call
from ocrfarm_shared.contracts import NodeView

_NODES = TypeAdapter(dict[str, list[NodeView]])


def nodes() -> Call[list[NodeView]]:
    return Call("GET", "/v1/nodes", lambda reply: _NODES.validate_json(reply.body)["nodes"])


def drain(node: str, *, on: bool) -> Call[NodeView]:
    path = f"/v1/nodes/{quote(node, safe='')}/{'drain' if on else 'undrain'}"
    return Call("POST", path, lambda reply: NodeView.model_validate_json(reply.body))


class Nodes:
    """Looking takes a key of the role `read` or `admin`, draining one of the role `admin`; or a farm without keys on this machine."""

    def __init__(self, run: Callable[[Call[Any]], Any]) -> None:
        self._run = run

    def list(self) -> Sequence[NodeView]:
        found: list[NodeView] = self._run(nodes())
        return found

    def drain(self, node: str) -> NodeView:
        """It finishes what it holds and takes no more. Raises NotFound."""
        view: NodeView = self._run(drain(node, on=True))
        return view

    def undrain(self, node: str) -> NodeView:
        """It takes pages again. Raises NotFound."""
        view: NodeView = self._run(drain(node, on=False))
        return view
