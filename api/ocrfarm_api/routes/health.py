"""Probes and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.responses import Response

from ocrfarm_api.callers import identify, presented_key
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.farm_metrics import Room
from ocrfarm_api.problems import STORE_RETRY_S
from ocrfarm_api.routes.answers import as_json, problems
from ocrfarm_shared.addresses import is_loopback
from ocrfarm_shared.errors import FarmUnavailable, Forbidden
from ocrfarm_shared.keys import DEFAULT_TENANT, Role
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.version import commit, version

router = APIRouter(tags=["probes"])


class Ready(BaseModel):
    """`slots`: worker processes that can read now."""

    status: str
    version: str
    commit: str
    slots: int


@router.get("/livez")
async def livez() -> dict[str, str]:
    """This process answers."""
    return {"status": "alive"}


@router.get("/readyz", response_model=Ready, responses=problems(503))
async def readyz(farm: TheFarm) -> Response:
    """200 only where the ledger answers and at least one worker process can read."""
    state = await farm.ledger(calls.farm(DEFAULT_TENANT))
    if state.slots == 0:
        raise FarmUnavailable(
            "No worker process takes pages: none is alive, or every node is drained. Documents are accepted and wait. Start one with "
            "`ocrfarm worker`, or see `ocrfarm node list`.",
            retry_after=STORE_RETRY_S,
        )
    return as_json(Ready(status="ready", version=version(), commit=farm.settings.commit or commit(), slots=state.slots))


@router.get("/metrics", response_class=Response, responses=problems(401, 403))
async def metrics(request: Request, farm: TheFarm) -> Response:
    """Prometheus' text format; needs the role `read` or `admin` where keys are on. Where the ledger is away, a gateway that answers this
    machine alone still gives its own figures: `ocrfarm_ledger_up 0`."""
    try:
        asking = await identify(farm, presented_key(request))
        if not asking.roles.intersection((Role.READ, Role.ADMIN)):
            raise Forbidden
        state = await farm.ledger(calls.farm(asking.tenant))
    except RedisError:
        if not is_loopback(farm.settings.host) and not farm.settings.open_to_all:
            raise
        state = None
    room = await _room(farm) if state is not None else None
    body = farm.metrics.text(state, room, version(), farm.settings.commit or commit())
    return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _room(farm: Farm) -> Room | None:
    """None where the disk or Redis does not say."""
    try:
        await farm.headroom.look(farm)
    except (RedisError, FarmUnavailable):
        return None
    room = farm.headroom
    reserve = int(farm.settings.min_free_disk_mb * 1_000_000)
    return Room(room.free_disk, room.disk_size, reserve, room.redis_used, room.redis_most)
