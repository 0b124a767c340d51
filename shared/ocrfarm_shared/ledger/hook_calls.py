"""The ledger's calls about webhooks: what ended with one waits in the outbox, a sender takes it, and says what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from ocrfarm_shared.ledger.calls import Call

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 3600.0
PUT_OFF_S = 2.0


@dataclass(frozen=True)
class Hook:
    """One to be sent. `id`: of the job or batch; `attempts`: made before; `host`: what is counted as one target."""

    id: str
    kind: Literal["job", "batch"]
    tenant: str
    url: str
    state: str
    attempts: int
    host: str

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        return cls(
            id=row["id"],
            kind=row["kind"],
            tenant=row["tenant"],
            url=row["url"],
            state=row["state"],
            attempts=int(row["attempts"]),
            host=row["host"],
        )

    @property
    def busy(self) -> tuple[str, str]:
        """What it counts for while it is under way."""
        return self.host, f"tenant:{self.tenant}"


def take(*, limit: int, lease_s: float, busy: Mapping[str, int], most_host: int, most_tenant: int) -> Call[list[Hook]]:
    """Hooks that are due, this sender's for `lease_s` seconds. `busy`: under way by host and tenant (`Hook.busy`)."""
    arguments = {
        "limit": limit,
        "lease_s": lease_s,
        "busy": dict(busy) or {"": 0},  # an empty object would come to Lua as an array
        "most_host": most_host,
        "most_tenant": most_tenant,
        "put_off_s": PUT_OFF_S,
        "drain": 200,
        "scan": 500,
    }
    return Call("hook_take", lambda a: [Hook.of(row) for row in a["hooks"] or ()], arguments)


def done(
    hook: Hook,
    *,
    delivered: bool,
    give_up_s: float,
    wait_s: float = 0.0,
    final: bool = False,
    status: int | None = None,
    error: str | None = None,
) -> Call[Literal["delivered", "waiting", "given_up", "gone"]]:
    """What became of an attempt. Not delivered: again in `wait_s` seconds, unless it is `final` or `give_up_s` after the end are over."""
    arguments = {
        "id": hook.id,
        "delivered": delivered,
        "final": final,
        "wait_s": wait_s,
        "give_up_s": give_up_s,
        "status": status,
        "error": error and error[:300],
    }
    return Call("hook_done", lambda a: a["outcome"], arguments)
