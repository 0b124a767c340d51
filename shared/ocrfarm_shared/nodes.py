"""Worker nodes that join over HTTP: what a node says, what it is told, and which settings are the farm's and not its own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from ocrfarm_shared.contracts import NodeView, Travelling
from ocrfarm_shared.settings import NODE_ID, Settings

# A node's id is part of what `ocrfarm node drain` takes, of log lines, and of a Redis hash's field.
NodeId = Annotated[str, StringConstraints(pattern=NODE_ID)]

# What must be the same in every part of one farm. All else (processes, memory, cache, log) is the node's own.
FARMS_SETTINGS = (
    *("namespace", "max_pages", "max_megapixels", "max_upload_mb", "dpi", "flower", "preload"),
    *("heartbeat_s", "lease_s", "soft_time_limit_s", "hard_time_limit_s", "visibility_timeout_s", "result_ttl_s"),
    *("max_attempts", "max_clock_skew_s"),
)


class JoinRequest(Travelling):
    """What a node says of itself, when it joins and every half minute after. Fields of a later release are ignored."""

    id: NodeId = Field(description="Chosen by the node once, and kept.")
    version: str = Field("", max_length=64)
    machine: str = Field("", max_length=64, description="Such as aarch64.")
    serving: bool = Field(False, description="Whether it reads with what it was told before.")


class JoinedNode(Travelling):
    """What it is told. `settings` are texts by name (`Settings`); a node ignores those that it does not know."""

    id: NodeId
    version: str
    time: float = Field(description="Seconds since the epoch, by the ledger's clock.")
    redis_url: str = Field(description="With user and password in it: keep it to yourself.")
    settings: dict[str, str]


class NodeList(Travelling):
    """Nodes that are alive, and those that joined and are away."""

    nodes: list[NodeView]


def farms_settings(settings: Settings) -> dict[str, str]:
    """As `JoinedNode.settings` has them."""
    return {name: _text(getattr(settings, name)) for name in FARMS_SETTINGS}


def _text(value: Any) -> str:
    return ("1" if value else "0") if isinstance(value, bool) else str(value)
