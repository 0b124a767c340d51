"""Worker nodes: join, list, drain; and what a node that joined fetches and brings."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import FileResponse, Response

from ocrfarm_api.callers import Admin, Node, Watcher
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.node_files import keep_made, upload_of
from ocrfarm_api.routes.answers import as_json, problems
from ocrfarm_api.routes.farm import nodes_of
from ocrfarm_shared.contracts import NodeView
from ocrfarm_shared.errors import BadOption, CannotJoin, NotFound, TooLarge
from ocrfarm_shared.keys import Role
from ocrfarm_shared.ledger import calls, node_calls
from ocrfarm_shared.nodes import JoinedNode, JoinRequest, NodeList, farms_settings
from ocrfarm_shared.settings import NODE_ID
from ocrfarm_shared.version import version

router = APIRouter(tags=["nodes"])

MOST_BYTES = 16 * 1024
Token = Annotated[int, Query(ge=1, le=2**53, description="The fencing token of the node's claim.")]


class Brought(BaseModel):
    """`blob`: the name under which it is kept, to be recorded in the ledger."""

    blob: str


@router.post(
    "/v1/nodes/join",
    response_model=JoinedNode,
    responses=problems(409, 413, 422, 503),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": JoinRequest.model_json_schema()}}}
    },
)
async def join(request: Request, farm: TheFarm, caller: Node) -> Response:
    """A worker node joins, with a key of the role `node`, and asks again every half minute: how it reaches Redis, and the settings that
    all parts of the farm share. The answer holds a password of Redis."""
    asked = await _asked(request)
    if not farm.settings.node_redis_url:
        raise CannotJoin
    assert caller.key_id is not None  # no role `node` without a key
    joined = await farm.ledger(node_calls.join(asked.id, caller.key_id, version=asked.version, machine=asked.machine))
    if joined.outcome == "taken":
        raise CannotJoin(
            f"Another node, with another token, is called {asked.id!r} here; name this one with OCRFARM_NODE."
        )
    if joined.outcome == "full":
        raise CannotJoin(f"{node_calls.MOST_NODES} nodes have joined within a month, and no more may.")
    return as_json(
        JoinedNode(
            id=asked.id,
            version=version(),
            time=joined.now,
            redis_url=farm.settings.node_redis_url,
            settings=farms_settings(farm.settings),
        )
    )


async def _asked(request: Request) -> JoinRequest:
    """Read here and not by FastAPI, which takes in a body of any size before it asks who sends it. Raises BadOption, TooLarge."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise TooLarge(f"No node takes more than {MOST_BYTES} bytes to join.")
    try:
        return JoinRequest.model_validate_json(bytes(body))
    except ValidationError as err:
        first = err.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])[:100] or "body"
        raise BadOption(f"`{name}` is not valid: {first['msg']}.") from None


@router.get("/v1/nodes", response_model=NodeList, responses=problems(503))
async def list_nodes(farm: TheFarm, caller: Watcher) -> Response:
    """The nodes that are alive, and those that joined within a month and are away."""
    return as_json(NodeList(nodes=await _nodes(farm, whole=Role.ADMIN in caller.roles, tenant=caller.tenant)))


async def _nodes(farm: Farm, *, whole: bool, tenant: str) -> list[NodeView]:
    joined = {node.id: node for node in await farm.ledger(node_calls.list_nodes())}
    alive = {node.name: node for node in nodes_of(await farm.ledger(calls.farm(tenant)), whole=whole)}
    found = []
    for name in sorted({*joined, *alive}):
        record = joined.get(name)
        view = alive.get(name) or NodeView(name=name, slots=0, version=record.version if record else "", state="away")
        more = {"joined": True, "machine": record.machine} if record else {"joined": False}
        found.append(view.model_copy(update={"info": view.info | more, "seen_at": record.seen if record else None}))
    return found


@router.post("/v1/nodes/{node_id}/drain", response_model=NodeView, responses=problems(404, 422, 503))
async def drain(farm: TheFarm, caller: Admin, node_id: str) -> Response:
    """Let a node finish what it holds and take no more, until it is undrained; also after it was started anew."""
    return await _say(farm, caller.tenant, node_id, on=True)


@router.post("/v1/nodes/{node_id}/undrain", response_model=NodeView, responses=problems(404, 422, 503))
async def undrain(farm: TheFarm, caller: Admin, node_id: str) -> Response:
    """Let a node that was drained take pages again."""
    return await _say(farm, caller.tenant, node_id, on=False)


async def _say(farm: Farm, tenant: str, node_id: str, *, on: bool) -> Response:
    """Raises NotFound."""
    known = (
        {node.name for node in await _nodes(farm, whole=False, tenant=tenant)} if re.fullmatch(NODE_ID, node_id) else ()
    )
    if node_id not in known:
        raise NotFound(
            f"There is no node {node_id[:64]!r} here; GET /v1/nodes (`ocrfarm node list`) shows those there are."
        )
    await farm.ledger(node_calls.drain(node_id, on=on))
    return as_json(next(node for node in await _nodes(farm, whole=False, tenant=tenant) if node.name == node_id))


@router.get(
    "/v1/nodes/units/{unit}/upload",
    response_class=Response,
    responses=problems(404, 410, 422, 503)
    | {
        200: {"description": "The document, as it was sent.", "content": {"application/octet-stream": {}}},
        206: {"description": "The part of it that a Range asked for."},
    },
)
async def get_upload(farm: TheFarm, caller: Node, unit: str, token: Token) -> Response:
    """What a unit is read from that a node of this key holds now."""
    return FileResponse(await upload_of(farm, caller, unit, token), media_type="application/octet-stream")


@router.put(
    "/v1/nodes/units/{unit}/made",
    response_model=Brought,
    responses=problems(404, 413, 422, 503),
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    },
)
async def put_made(
    request: Request,
    farm: TheFarm,
    caller: Node,
    unit: str,
    token: Token,
    content_digest: Annotated[str | None, Header(description="RFC 9530: `sha-256=:BASE64:`.")] = None,
) -> Response:
    """The picture or PDF that a unit makes which a node of this key holds now."""
    return as_json(Brought(blob=await keep_made(farm, caller, unit, token, request.stream(), content_digest)))
