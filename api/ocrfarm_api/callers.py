"""Who is asking: the tenant and the roles of a request, by its API key.

The key is looked up in the ledger at every request and remembered nowhere: one that was revoked opens nothing any more, in any
gateway, from that moment on. Requests that are held (`wait`) look again while they wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_shared import keys
from ocrfarm_shared.addresses import is_loopback
from ocrfarm_shared.errors import Forbidden, Unauthorized
from ocrfarm_shared.keys import DEFAULT_TENANT, Quota, Role
from ocrfarm_shared.ledger import key_calls

EVERYTHING = frozenset((Role.SUBMIT, Role.READ, Role.ADMIN))
ANYBODY = frozenset((Role.SUBMIT, Role.READ))


@dataclass(frozen=True)
class Caller:
    """One request's sender. `key_id` is None where no key was asked for; the quota's zeros mean what the farm is set to."""

    tenant: str
    roles: frozenset[str]
    quota: Quota = field(default_factory=Quota)
    key_id: str | None = None
    presented: str | None = field(default=None, repr=False)
    """The key itself, to look it up again while a request is held."""


async def identify(farm: Farm, presented: str | None) -> Caller:
    """Who shows this key, or none. Raises Unauthorized, and the ledger's RedisError: where keys cannot be looked up nobody comes in."""
    key_id = keys.key_id_of(presented) if presented is not None else None
    found = await farm.ledger(key_calls.find_key(key_id))
    if presented is None:
        if farm.settings.open_to_all:
            return Caller(DEFAULT_TENANT, ANYBODY)
        if is_loopback(farm.settings.host) and not found.keys_on:
            return Caller(DEFAULT_TENANT, EVERYTHING)
        raise Unauthorized
    known = found.record
    if not keys.matches(presented, known.digest if known else None):
        raise Unauthorized("This API key is not known here, or was revoked; ask whoever runs the farm for one.")
    assert known is not None
    if known.view.expired:
        raise Unauthorized("This API key has expired; ask whoever runs the farm for a new one.")
    return Caller(known.view.tenant, frozenset(known.view.roles), known.view.quota, known.view.id, presented)


async def recheck(farm: Farm, caller: Caller) -> None:
    """Raises Unauthorized where the key does not hold any more, or no longer for the same tenant."""
    if caller.presented is not None and (await identify(farm, caller.presented)).tenant != caller.tenant:
        raise Unauthorized


def presented_key(request: Request) -> str | None:
    """The one key that a request shows, in whichever header. Raises Unauthorized for two that differ: a proxy that checks the one and a
    gateway that takes the other would let somebody in as somebody else. Basic and other schemes are a proxy's own, not ours."""
    shown = {value.strip() for value in request.headers.getlist("x-api-key")}
    for value in request.headers.getlist("authorization"):
        scheme, _, rest = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            shown.add(rest.strip())
    if len(shown) > 1:
        raise Unauthorized("This request shows two different API keys; send one.")
    return shown.pop() if shown else None


# For the interface's description alone; what a request shows is read by `presented_key`, which sees doubled headers too.
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key, where the farm asks for one.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="key", description="The same.")


async def caller(
    request: Request,
    farm: TheFarm,
    _one: Annotated[object, Depends(_bearer)],
    _other: Annotated[object, Depends(_header)],
) -> Caller:
    """Every route under /v1 hangs on this, by its router."""
    return await identify(farm, presented_key(request))


def _with_role(*roles: Role) -> Callable[[Caller], Awaitable[Caller]]:
    async def allowed(asking: Annotated[Caller, Depends(caller)]) -> Caller:
        if not asking.roles.intersection(roles):
            needed = " or ".join(f"`{role}`" for role in roles)
            raise Forbidden(f"This API key may not do that: it needs the role {needed}.")
        return asking

    return allowed


AnyCaller = Annotated[Caller, Depends(caller)]
Submitter = Annotated[Caller, Depends(_with_role(Role.SUBMIT))]
Reader = Annotated[Caller, Depends(_with_role(Role.READ))]
Watcher = Annotated[Caller, Depends(_with_role(Role.READ, Role.ADMIN))]
Admin = Annotated[Caller, Depends(_with_role(Role.ADMIN))]
Node = Annotated[Caller, Depends(_with_role(Role.NODE))]
