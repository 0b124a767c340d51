"""The ledger's calls about worker nodes: who joined, who is to take no more, what a node that joined may have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ocrfarm_shared.ledger.calls import Call

MOST_NODES = 1000  # all of them are listed in one answer
FORGET_S = 30 * 86400.0


@dataclass(frozen=True)
class Joined:
    """`taken`: another node is called so, with another key; `full`: too many are known. `now`: the ledger's clock."""

    outcome: Literal["joined", "taken", "full"]
    now: float


@dataclass(frozen=True)
class NodeRecord:
    """A node that joined. Times by the ledger's clock."""

    id: str
    key: str
    joined: float
    seen: float
    version: str
    machine: str


@dataclass(frozen=True)
class Held:
    """The unit that a node holds. `kind` as in ClaimedUnit; `blob`: the upload that it is read from."""

    tenant: str
    blob: str
    kind: str
    node: str


def join(node: str, key_id: str, *, version: str = "", machine: str = "") -> Call[Joined]:
    """A node with an API key of that id says that it is there; said again and again."""
    arguments = {"id": node, "key": key_id, "version": version, "machine": machine, "most": MOST_NODES}
    return Call("node_join", lambda a: Joined(a["outcome"], a["now"]), arguments)


def list_nodes() -> Call[list[NodeRecord]]:
    """Those that joined, in no order."""

    def parse(a: dict[str, Any]) -> list[NodeRecord]:
        return [NodeRecord(id=name, **_known(json.loads(text))) for name, text in a["nodes"] or ()]

    return Call("node_list", parse, {"forget_s": FORGET_S})


def _known(record: dict[str, Any]) -> dict[str, Any]:
    """A later release may write more."""
    return {name: record[name] for name in ("key", "joined", "seen", "version", "machine")}


def drain(node: str, *, on: bool) -> Call[None]:
    """Whether that node is to take no more units; what it holds it finishes."""
    return Call("node_drain", lambda _: None, {"node": node, "on": on})


def holding(unit: str, token: int, key_id: str) -> Call[Held | None]:
    """The unit, where this token holds it for a node that joined with that key; None: it does not, or nobody wants the unit any more."""

    def parse(a: dict[str, Any]) -> Held | None:
        return Held(**a["held"]) if a.get("held") else None

    return Call("holding", parse, {"unit": unit, "token": token, "key": key_id})


def give_back(unit: str, token: int, *, delay_s: float) -> Call[Literal["back", "stale"]]:
    """A unit that cannot be read here now, for no fault of its own: others get it after `delay_s` seconds, and no attempt is spent."""
    return Call("give_back", lambda a: a["outcome"], {"unit": unit, "token": token, "delay_s": delay_s})
