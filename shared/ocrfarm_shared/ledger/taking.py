"""How a worker process takes units: by a message that Celery brought, or at once, with the answer to what it had before.

The way through Celery and back costs a page more than all of the ledger does. So a process that is done with a unit asks, in the same
call that records it, for the message that Celery would bring next (`and_next`). Small pictures, a word or a line, are taken several at
a time (`Taker.most`). `ledger/scripts/taking.lua` has the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from ocrfarm_shared.contracts import SCHEMA_VERSION
from ocrfarm_shared.ledger.calls import Call, Refused
from ocrfarm_shared.ledger.records import ClaimedUnit

T = TypeVar("T")


@dataclass(frozen=True)
class Taker:
    """Who takes. `owner`: the Celery task's id; `most`: small pictures that it reads at a time; `profiles`: whose queues it looks into for
    its next unit, in this order; `schema`: the newest that it understands."""

    owner: str
    node: str
    process: str
    lease_s: float
    most: int = 1
    profiles: Sequence[str] = ()
    schema: int = SCHEMA_VERSION

    def arguments(self) -> dict[str, Any]:
        return asdict(self) | {"profiles": list(self.profiles)}


@dataclass(frozen=True)
class Done(Generic[T]):
    """`recorded`: as the call itself answers; `taken`: what this process goes on with."""

    recorded: T
    taken: list[ClaimedUnit]


def take(unit: str, taker: Taker) -> Call[list[ClaimedUnit] | Refused]:
    """The unit that a message named, and small ones behind it; or why it is not to be had (`calls.claim`)."""

    def parse(a: dict[str, Any]) -> list[ClaimedUnit] | Refused:
        refused: Refused | None = a.get("refused")
        return refused or _units(a["taken"])

    return Call("claim", parse, {"unit": unit, "by": taker.arguments()})


def and_next(call: Call[T], taker: Taker | None) -> Call[Done[T]]:
    """The call that records a unit (calls.finish_page, finish_plan), and takes the next one; None: takes none."""
    return Call(
        call.script,
        lambda a: Done(call.parse(a), _units(a.get("next") or ())),
        call.arguments | {"next": taker.arguments() if taker else None},
        call.payload,
    )


def _units(rows: Sequence[dict[str, Any]]) -> list[ClaimedUnit]:
    return [ClaimedUnit.of(row) for row in rows]
