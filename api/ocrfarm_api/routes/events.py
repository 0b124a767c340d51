"""Server-sent events about jobs. Polling stays the source of truth: a stream tells sooner, and nothing that polling would not."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from ocrfarm_api.callers import Reader
from ocrfarm_api.deps import TheFarm
from ocrfarm_api.following import JobTeller
from ocrfarm_api.routes.answers import JobId, job_view, known_id, problems
from ocrfarm_api.streams import LAST_ID, EventStream
from ocrfarm_shared.errors import BadOption

router = APIRouter(tags=["jobs"])

MOST_JOBS = 50
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=100, description="As a browser sends it when it comes back."),
]
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `state` (the job as GET /v1/jobs/{id} answers it), `progress` ({id, state, progress, queue_position}) and "
        "`page` ({id, number}: that page is done); `gone` ({id}) for a job that was deleted, `problem` (a problem document) where the "
        "stream ends early. Comments keep it alive. It ends when the job has ended.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "This `Last-Event-ID` was the last event: there is no more."},
}


@router.get(
    "/v1/jobs/{job_id}/events",
    response_class=Response,
    response_model=None,
    responses=STREAM | problems(404, 422, 429, 503),
)
async def job_events(farm: TheFarm, caller: Reader, job_id: JobId, last_event_id: LastEventId = None) -> Response:
    """A job's state, progress and finished pages as server-sent events, from how it stands now to its end."""
    if last_event_id == LAST_ID:
        return Response(status_code=204)
    return EventStream(farm, caller, JobTeller(farm, caller.tenant, [job_id], job_view))


@router.get("/v1/events", response_class=Response, response_model=None, responses=STREAM | problems(404, 422, 429, 503))
async def events(
    farm: TheFarm,
    caller: Reader,
    jobs: Annotated[str, Query(max_length=MOST_JOBS * 40, description=f"Ids, comma separated; {MOST_JOBS} at most.")],
    last_event_id: LastEventId = None,
) -> Response:
    """The same for several jobs in one stream: a browser opens six connections to one host, and no more. It ends when all have ended."""
    if last_event_id == LAST_ID:
        return Response(status_code=204)
    ids = [known_id(name.strip()) for name in jobs.split(",") if name.strip()]
    if not 1 <= len(ids) <= MOST_JOBS:
        raise BadOption(f"`jobs` takes 1 to {MOST_JOBS} ids, comma separated.")
    return EventStream(farm, caller, JobTeller(farm, caller.tenant, ids, job_view))
