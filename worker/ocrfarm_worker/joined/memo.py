"""What a node learned when it joined, kept in its state folder for its owner alone: so it starts while the gateway is away."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ocrfarm_shared.nodes import JoinedNode
from ocrfarm_shared.settings import SettingsError

FILE = "node.json"


class Memo(BaseModel):
    """`told`: the farm's last answer; None until there was one."""

    id: str
    url: str = ""
    token: str = ""
    told: JoinedNode | None = None


def new_id() -> str:
    """The host's name and six random digits: many machines are called raspberrypi."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", platform.node()).strip("-._")[:50] or "node"
    return f"{name}-{secrets.token_hex(3)}"


def recall(state: Path) -> Memo:
    """As it was kept; a new node where there is none, or none that can be read."""
    try:
        return Memo.model_validate_json((state / FILE).read_text("utf8"))
    except (FileNotFoundError, ValidationError):
        return Memo(id=new_id())


def remember(state: Path, memo: Memo) -> None:
    """Written as a whole, for its owner's eyes alone: it holds the token and a password of Redis."""
    partial = state / f".{FILE}.part"
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf8") as file:
        file.write(memo.model_dump_json(indent=1) + "\n")
    partial.replace(state / FILE)


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """One node, one state folder. Raises SettingsError."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / "node.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"Another node runs in {state}; stop it, or give this one a folder of its own with OCRFARM_STATE."
            ) from None
        yield
