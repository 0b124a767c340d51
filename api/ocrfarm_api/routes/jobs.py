"""Jobs: submit, look, wait, list, cancel, delete, read again."""

from __future__ import annotations

import logging
import re
from typing import Annotated

from fastapi import APIRouter, Query, Request
from redis.exceptions import RedisError
from starlette.responses import Response

from ocrfarm_api import options
from ocrfarm_api.callers import Caller, Reader, Submitter
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.routes.answers import (
    POLL_S,
    IdempotencyKey,
    JobId,
    Wait,
    accepted,
    as_json,
    job_view,
    problems,
)
from ocrfarm_api.routes.submission_form import REQUEST_BODY, upload, with_query
from ocrfarm_api.submit import again, submit
from ocrfarm_api.waiting import find, no_such_job, until_ended
from ocrfarm_shared.contracts import JobList, JobState, JobView
from ocrfarm_shared.errors import AlreadyEnded, BadOption, Unauthorized
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.records import JobRecord

log = logging.getLogger(__name__)
router = APIRouter(tags=["jobs"])

_CURSOR = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


@router.post(
    "/v1/jobs",
    status_code=202,
    response_model=JobView,
    response_description="Taken, and not read yet; ask where `links` say.",
    responses=problems(400, 413, 415, 422, 429, 503)
    | {200: {"model": JobView, "description": "Answered from the cache, or ended within `wait`."}},
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def submit_document(
    request: Request, farm: TheFarm, caller: Submitter, wait: Wait = 0, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submit one document: an image (PNG, JPEG, WebP, BMP, GIF), a TIFF or a PDF.

    Send it as the multipart field `file`, as the raw body, or as JSON with a member `base64`. Options are form fields, members of the
    JSON, or query parameters. Answers 202 and where to look; 200 where the same document was read before with the same options.
    """
    async with upload(request, farm, caller, idempotency_key=idempotency_key or None) as received:
        fields = with_query(request, received.fields)
        if received.filename:
            fields["filename"] = received.filename
        asked = options.submission(fields, farm.settings)
        made = await submit(farm, caller, received, asked, idempotency_key or None)
    return accepted(await _held(farm, caller, made, wait))


async def _held(farm: Farm, caller: Caller, made: JobRecord, wait: float) -> JobRecord:
    """The job that was accepted. Where Redis goes away while the request is held, or the key is revoked, the acceptance must still be told:
    the wait ends."""
    if wait and not made.view.state.ended:
        try:
            return await until_ended(farm, caller, made.id, wait)
        except (RedisError, Unauthorized) as err:
            log.warning("stopped waiting for %s: %s", made.id, err)
    return made


@router.get("/v1/jobs", response_model=JobList, responses=problems(422, 503))
async def list_jobs(
    farm: TheFarm,
    caller: Reader,
    state: JobState | None = None,
    tag: Annotated[str | None, Query(max_length=100)] = None,
    cursor: Annotated[str | None, Query(description="As the former answer gave it.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Jobs, newest first. An answer may be short or empty and still carry a `cursor`: go on from it."""
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        raise BadOption("`cursor` must be what the former answer gave.")
    listing = await farm.ledger(
        calls.list_jobs(caller.tenant, state=state, tag=tag or None, cursor=cursor, limit=limit)
    )
    records = await farm.ledger(calls.view(caller.tenant, listing.ids, position=False)) if listing.ids else []
    return as_json(JobList(jobs=[job_view(record) for record in records], cursor=listing.cursor))


@router.get("/v1/jobs/{job_id}", response_model=JobView, responses=problems(404, 422, 503))
async def get_job(farm: TheFarm, caller: Reader, job_id: JobId, wait: Wait = 0) -> Response:
    """One job, 200 in every state. With `wait`, answers as soon as it has ended."""
    record = await until_ended(farm, caller, job_id, wait) if wait else await find(farm, caller.tenant, job_id)
    return as_json(job_view(record), headers=None if record.view.state.ended else {"Retry-After": POLL_S})


@router.post(
    "/v1/jobs/{job_id}/retry", status_code=202, response_model=JobView, responses=problems(404, 410, 422, 429, 503)
)
async def retry_job(
    farm: TheFarm, caller: Submitter, job_id: JobId, idempotency_key: IdempotencyKey = None
) -> Response:
    """Read the same document again with the same options, past the cache. Answers a new job (Location): a job ends exactly once."""
    return accepted(await again(farm, caller, job_id, idempotency_key or None))


@router.post(
    "/v1/jobs/{job_id}/cancel", status_code=202, response_model=JobView, responses=problems(404, 409, 422, 503)
)
async def cancel_job(farm: TheFarm, caller: Submitter, job_id: JobId) -> Response:
    """Cancel, at once; a page being read for nobody else is dropped at its end. 409 where the job has ended."""
    outcome = await farm.ledger(calls.cancel(caller.tenant, job_id))
    if outcome == "ended":
        raise AlreadyEnded
    if outcome == "unknown":
        raise no_such_job(job_id)
    return as_json(job_view(await find(farm, caller.tenant, job_id)), 202)


@router.delete("/v1/jobs/{job_id}", status_code=204, response_model=None, responses=problems(404, 422, 503))
async def delete_job(farm: TheFarm, caller: Submitter, job_id: JobId) -> Response:
    """Remove the job, its result and its document; one under way is cancelled first."""
    if await farm.ledger(calls.delete(caller.tenant, job_id)) == "unknown":
        raise no_such_job(job_id)
    return Response(status_code=204)
