"""Which worker processes leave the end of a backlog to faster ones, and how much of it.

A process takes one unit at a time, and only when it is free, so at the end of a backlog all that a slow process can cost is its last page:
it may still be at it when all else has ended. So near the end a process leaves a unit where faster ones would have read it, and all that
waits before it, before this one had read its one page. While this one reads a page, one that is `r` times as fast ends its own page that it
may just have begun, and then r - 1 others. That sum over the faster ones is how many of the last waiting units this one leaves. Only
ratios of paces are in it, so it does not matter how long a page takes. Processes less than twice as fast count for nothing, so equal ones
never leave anything to each other, and the fastest leave nothing at all: where only slow ones are alive they read everything.

The dispatcher puts the numbers into the ledger with every sweep; `ledger/scripts/taking.lua` holds processes to them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Pages of a profile after which a node's own mean is believed rather than its benchmark. Pages differ: the mean of so many is right within
# a quarter or so.
ENOUGH_PAGES = 16

Process = str
Info = Mapping[str, Any]


@dataclass(frozen=True)
class NodePace:
    """Of a node's processes for one profile: seconds a page (the mean over `pages`), and what its benchmark says (0: nothing)."""

    page_s: float
    pages: int
    model: str
    lines_per_s: float

    def times_as_fast_as(self, other: NodePace) -> float:
        """By the pages that both have read, else by the same model's benchmark; 1 where nothing can be said."""
        if min(self.pages, other.pages) >= ENOUGH_PAGES and self.page_s > 0:
            return other.page_s / self.page_s
        if self.model and self.model == other.model and other.lines_per_s > 0:
            return self.lines_per_s / other.lines_per_s
        return 1.0


def left_to_faster(processes: Mapping[Process, Info]) -> dict[str, dict[Process, int]]:
    """By profile, for each process that can read it: how many of the last waiting units it leaves to faster ones.

    `processes`: what each that is alive says of itself. A profile whose processes all leave nothing is not among the answers.
    """
    out: dict[str, dict[Process, int]] = {}
    profiles = {str(profile) for said in processes.values() for profile in said.get("reads") or ()}
    for profile in sorted(profiles):
        readers = {name: said for name, said in processes.items() if profile in (said.get("reads") or ())}
        nodes: dict[str, list[Info]] = defaultdict(list)
        for name, said in readers.items():
            nodes[_node(name, said)].append(said)
        paces = {node: _pace(several, profile) for node, several in nodes.items()}
        left = {
            node: sum(
                len(nodes[other]) * max(0, math.floor(paces[other].times_as_fast_as(mine) + 1e-9) - 1)
                for other in paces
                if other != node
            )
            for node, mine in paces.items()
        }
        if any(left.values()):
            out[profile] = {name: left[_node(name, said)] for name, said in readers.items()}
    return out


def _node(name: Process, said: Info) -> str:
    return str(said.get("node") or name)


def _pace(processes: list[Info], profile: str) -> NodePace:
    """Processes of one node are as fast as each other, whatever a few pages or a busy moment at their start say of one."""
    told = [(said.get("pace") or {}).get(profile) or (0.0, 0) for said in processes]
    pages = sum(count for _, count in told)
    seconds = sum(mean * count for mean, count in told)
    benches = [bench for said in processes if (bench := said.get("benchmark"))]
    best: Info = max(benches, key=lambda bench: float(bench["lines_per_s"]), default={})
    return NodePace(
        page_s=seconds / pages if pages else 0.0,
        pages=int(pages),
        model=str(best.get("model", "")),
        lines_per_s=float(best.get("lines_per_s", 0.0)),
    )
