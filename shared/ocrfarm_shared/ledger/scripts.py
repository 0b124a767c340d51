"""Loads the Lua scripts: each is prelude.lua + what scripts share + its own file, known to Redis by its SHA-1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

# What stands before every script, in this order.
SHARED = ("prelude", "batching", "ending", "forget", "row", "quota", "items")
# And before those by which worker processes take units and let go of them.
TAKING = ("claim", "finish", "plan", "fail", "heartbeat")


@dataclass(frozen=True)
class Script:
    name: str
    source: str
    sha: str


def parts(name: str) -> tuple[str, ...]:
    """The files that a script is put together from, in their order."""
    return (*SHARED, *(("taking",) if name in TAKING else ()), name)


@cache
def script(name: str) -> Script:
    folder = resources.files("ocrfarm_shared.ledger") / "scripts"
    source = "\n".join((folder / f"{part}.lua").read_text("utf8") for part in parts(name))
    # Redis names a script by its SHA-1; nothing secret hangs on it.
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
