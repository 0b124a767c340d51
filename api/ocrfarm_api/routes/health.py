"""Probes and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.responses import Response

from ocrfarm_api.deps import Tenant, TheFarm
from ocrfarm_api.problems import STORE_RETRY_S
from ocrfarm_api.routes.answers import as_json, problems
from ocrfarm_shared.errors import FarmUnavailable
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
async def readyz(farm: TheFarm, tenant: Tenant) -> Response:
    """200 only where the ledger answers and at least one worker process can read."""
    state = await farm.ledger(calls.farm(tenant))
    if state.slots == 0:
        raise FarmUnavailable(
            "No worker process is alive; documents are accepted and wait. Start one with `ocrfarm worker`.",
            retry_after=STORE_RETRY_S,
        )
    return as_json(Ready(status="ready", version=version(), commit=farm.settings.commit or commit(), slots=state.slots))


@router.get("/metrics", response_class=Response)
async def metrics(farm: TheFarm, tenant: Tenant) -> Response:
    """Prometheus' text format. Answers without the farm's figures where the ledger is away: `ocrfarm_ledger_up 0`."""
    try:
        state = await farm.ledger(calls.farm(tenant))
    except RedisError:
        state = None
    body = farm.metrics.text(state, version(), farm.settings.commit or commit())
    return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4)
