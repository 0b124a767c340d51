"""Loads the Lua scripts: each is prelude.lua + what scripts share + its own file, known to Redis by its SHA-1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

# What stands before every script, in this order.
SHARED = ("prelude", "batching", "ending", "forget", "row", "quota", "items")


@dataclass(frozen=True)
class Script:
    name: str
    source: str
    sha: str


@cache
def script(name: str) -> Script:
    folder = resources.files("ocrfarm_shared.ledger") / "scripts"
    source = "\n".join((folder / f"{part}.lua").read_text("utf8") for part in (*SHARED, name))
    # Redis names a script by its SHA-1; nothing secret hangs on it.
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
