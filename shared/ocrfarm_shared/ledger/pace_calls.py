"""The ledger's calls about how fast its worker processes are; the rule is in `ocrfarm_shared.pace`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ocrfarm_shared.ledger.calls import Call

# The numbers hold for so many sweeps: without a dispatcher nobody leaves anything to anybody.
KEPT_SWEEPS = 4


def processes() -> Call[dict[str, dict[str, Any]]]:
    """What each worker process that is alive says of itself, by its id."""
    return Call("processes", lambda a: {name: json.loads(info) for name, info in a["processes"] or ()})


def leave(left: Mapping[str, Mapping[str, int]], *, sweep_s: float) -> Call[None]:
    """By profile and process: how many of the last waiting units it leaves to faster ones (`pace.left_to_faster`)."""
    arguments = {
        "left": {profile: dict(numbers) for profile, numbers in left.items()},
        "seconds": max(1.0, KEPT_SWEEPS * sweep_s),
    }
    return Call("leave", lambda _: None, arguments)
