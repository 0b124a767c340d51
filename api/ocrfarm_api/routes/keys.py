"""API keys: make, list, revoke. For keys with the role `admin`, and on this machine while the farm has none."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from ocrfarm_api.callers import Admin
from ocrfarm_api.deps import TheFarm
from ocrfarm_api.routes.answers import as_json, problems
from ocrfarm_shared.errors import BadOption, NotFound
from ocrfarm_shared.keys import KeyList, MadeKey, NewKey, TenantName, is_key_id
from ocrfarm_shared.ledger import key_calls

router = APIRouter(tags=["keys"])


@router.post("/v1/keys", status_code=201, response_model=MadeKey, responses=problems(422, 503))
async def create_key(farm: TheFarm, _: Admin, asked: NewKey) -> Response:
    """Make a key. `key` in the answer is the secret: it is shown this once and kept nowhere. From the first key on the farm asks everybody
    for one, on this machine too."""
    made = await farm.ledger(key_calls.create_key(asked))
    if made is None:
        raise BadOption(f"There are {key_calls.MOST_KEYS} keys already; revoke those that nobody needs.")
    return as_json(made, 201)


@router.get("/v1/keys", response_model=KeyList, responses=problems(422, 503))
async def list_keys(
    farm: TheFarm,
    _: Admin,
    tenant: Annotated[TenantName | None, Query(description="Only this tenant's.")] = None,
    offset: Annotated[int, Query(ge=0, le=key_calls.MOST_KEYS)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to look at, from `offset` on.")] = 1000,
) -> Response:
    """The keys, newest first, without their secrets."""
    found = await farm.ledger(key_calls.list_keys(tenant=tenant, offset=offset, limit=limit))
    return as_json(found)


@router.delete("/v1/keys/{key_id}", status_code=204, response_model=None, responses=problems(404, 422, 503))
async def revoke_key(farm: TheFarm, _: Admin, key_id: str) -> Response:
    """Revoke a key, at once: requests that are held with it end too. The tenant's jobs stay, for its other keys."""
    if not is_key_id(key_id) or not await farm.ledger(key_calls.revoke_key(key_id)):
        raise NotFound(f"There is no key {key_id[:64]!r} here.")
    return Response(status_code=204)
