"""The calls about API keys (`ocrfarm_shared.keys`), and the blocking client's part that makes them: `Client().keys`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocrfarm.calls import Call
from ocrfarm_shared.keys import KeyList, MadeKey, NewKey

STEP = 1000  # keys in one answer


def create(asked: NewKey) -> Call[MadeKey]:
    """Not repeatable: an answer that was lost held the only copy of a key."""
    body = asked.model_dump(mode="json")
    return Call("POST", "/v1/keys", lambda reply: MadeKey.model_validate_json(reply.body), json=body, repeatable=False)


def some(tenant: str | None, offset: int) -> Call[KeyList]:
    asked = {"offset": str(offset), "limit": str(STEP)} | ({"tenant": tenant} if tenant else {})
    return Call("GET", "/v1/keys", lambda reply: KeyList.model_validate_json(reply.body), params=asked)


def revoke(key_id: str) -> Call[bool]:
    return Call("DELETE", f"/v1/keys/{key_id}", lambda _: True)


class Keys:
    """Needs a key of the role `admin`, or a farm without keys on this machine."""

    def __init__(self, run: Callable[[Call[Any]], Any]) -> None:
        self._run = run

    def create(self, asked: NewKey) -> MadeKey:
        """The key itself is in the answer's `key`, this once."""
        made: MadeKey = self._run(create(asked))
        return made

    def list(self, tenant: str | None = None) -> KeyList:
        found: KeyList = self._run(some(tenant, 0))
        keys = list(found.keys)
        for offset in range(STEP, found.total, STEP):
            keys += self._run(some(tenant, offset)).keys
        return KeyList(keys=keys, total=found.total)

    def revoke(self, key_id: str) -> bool:
        """Raises NotFound where there is none of that id."""
        done: bool = self._run(revoke(key_id))
        return done
