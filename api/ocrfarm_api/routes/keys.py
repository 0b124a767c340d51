"""API keys: make, list, revoke. For keys with the role `admin`, and on this machine while the farm has none."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from ocrfarm_api.callers import Admin
from ocrfarm_api.deps import TheFarm
from ocrfarm_api.routes.answers import as_json, problems
from ocrfarm_shared.errors import BadOption, NotFound, TooLarge
from ocrfarm_shared.keys import KeyList, MadeKey, NewKey, TenantName, is_key_id
from ocrfarm_shared.ledger import key_calls

router = APIRouter(tags=["keys"])

MOST_BYTES = 64 * 1024


def _schema() -> dict[str, Any]:
    """Of NewKey, in one piece: the description has no place of its own for what only stands inside of it."""
    schema = NewKey.model_json_schema()
    parts = schema.pop("$defs")
    properties = schema["properties"]
    properties["quota"] = parts["Quota"]
    properties["roles"]["items"] = parts["Role"]
    return schema


async def _asked(request: Request) -> NewKey:
    """Read here and not by FastAPI, which takes in a whole body, of any size, before it asks who sends it. Raises BadOption, TooLarge."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise TooLarge(f"No key takes more than {MOST_BYTES} bytes to ask for.")
    try:
        return NewKey.model_validate_json(bytes(body))
    except ValidationError as err:
        first = err.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])[:100] or "body"
        raise BadOption(f"`{name}` is not valid: {first['msg'].removeprefix('Value error, ')}.") from None


@router.post(
    "/v1/keys",
    status_code=201,
    response_model=MadeKey,
    responses=problems(413, 422, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _schema()}}}},
)
async def create_key(request: Request, farm: TheFarm, _: Admin) -> Response:
    """Make a key. `key` in the answer is the secret: it is shown this once and kept nowhere. From the first key on the farm asks everybody
    for one, on this machine too."""
    made = await farm.ledger(key_calls.create_key(await _asked(request)))
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
