"""The ledger's calls about API keys. A key is looked up at each request and cached nowhere, so that revoking it acts at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from ocrfarm_shared import keys
from ocrfarm_shared.keys import KeyList, KeyView, MadeKey, NewKey, Quota
from ocrfarm_shared.ledger.calls import Call

MOST_KEYS = 10_000


@dataclass(frozen=True)
class KeyRecord:
    """A key as the ledger keeps it: `digest` is its sha256."""

    digest: str
    view: KeyView

    @classmethod
    def of(cls, row: dict[str, str], now: float) -> Self:
        expires = float(row["expires"]) if row.get("expires") else None
        return cls(
            digest=row["digest"],
            view=KeyView(
                id=row["id"],
                tenant=row["tenant"],
                name=row.get("name", ""),
                roles=tuple(role for role in row["roles"].split(",") if role),
                quota=Quota.model_validate_json(row["quota"]),
                created_at=float(row["created"]),
                expires_at=expires,
                expired=expires is not None and expires <= now,
            ),
        )


@dataclass(frozen=True)
class FoundKey:
    """`record`: the key of that id, where there is one. `keys_on`: a key was ever made here, so that one is asked for."""

    record: KeyRecord | None
    keys_on: bool


def find_key(key_id: str | None) -> Call[FoundKey]:
    """A key by its id, and whether this farm has keys at all (that alone, with None)."""

    def parse(a: dict[str, Any]) -> FoundKey:
        return FoundKey(KeyRecord.of(a["row"], a["now"]) if a.get("row") else None, bool(a["keys_on"]))

    return Call("key_find", parse, {"id": key_id})


def create_key(asked: NewKey) -> Call[MadeKey | None]:
    """Make a key; None where there are too many already. From the first one on, the farm asks everybody for a key."""
    key_id, key = keys.new_key()

    def parse(a: dict[str, Any]) -> MadeKey | None:
        if not a.get("row"):
            return None
        return MadeKey(key=key, **KeyRecord.of(a["row"], a["now"]).view.model_dump())

    arguments = {
        "id": key_id,
        "digest": keys.digest(key),
        "tenant": asked.tenant,
        "name": asked.name,
        "roles": ",".join(asked.roles),
        "quota": json.dumps(asked.quota.model_dump()),
        "expires_in_s": asked.expires_in_s,
        "most": MOST_KEYS,
    }
    return Call("key_create", parse, arguments)


def list_keys(*, tenant: str | None = None, offset: int = 0, limit: int = 1000) -> Call[KeyList]:
    """Keys, newest first, `limit` looked at from `offset` on; with `tenant`, that tenant's among them."""

    def parse(a: dict[str, Any]) -> KeyList:
        found = [KeyRecord.of(row, a["now"]).view for row in a["rows"] or ()]
        return KeyList(keys=found, total=a["total"])

    return Call("key_list", parse, {"tenant": tenant, "offset": offset, "limit": limit})


def no_key_holds() -> Call[bool]:
    """Whether there is no key, or none that has not expired."""
    listed = list_keys(limit=MOST_KEYS)
    return Call(listed.script, lambda a: all(key.expired for key in listed.parse(a).keys), listed.arguments)


def open_farm() -> Call[int | None]:
    """Forget that there ever was a key: a farm on loopback then serves everybody on its machine again. Where there are keys nothing is
    changed, and the answer says how many; else None. For the farm's owner, no part of it."""
    return Call("keys_open", lambda a: a["left"] or None)


def revoke_key(key_id: str) -> Call[bool]:
    """The key is gone, for every gateway, at once. False: there is none of that id."""
    return Call("key_revoke", lambda a: bool(a["revoked"]), {"id": key_id})
