"""What the routes about jobs share: the links of a job, the answers in their forms, the parameters that come again and again."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Header, Query
from fastapi import Path as PathParameter
from pydantic import BaseModel
from starlette.responses import Response

from ocrfarm_api.waiting import MAX_WAIT_S
from ocrfarm_shared.contracts import JobState, JobView, Problem
from ocrfarm_shared.errors import NotFound
from ocrfarm_shared.ledger.records import JobRecord

POLL_S = "1"
_JOB_ID = re.compile(r"job_[0-9a-f]{32}")

Wait = Annotated[
    float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to hold the request until the job has ended, 60 at most.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        description="The same key and the same document: the same job. The same key and another document: 422.",
    ),
]


def known_id(job_id: str) -> str:
    """The id itself. Raises NotFound for what is no id at all."""
    if not _JOB_ID.fullmatch(job_id):
        raise NotFound(
            f"{job_id[:64]!r} is no job's id; take it as the submission answered it. GET /v1/jobs lists yours."
        )
    return job_id


async def _job_id(job_id: Annotated[str, PathParameter(description="As the submission answered it.")]) -> str:
    return known_id(job_id)


JobId = Annotated[str, Depends(_job_id)]


def links(job_id: str) -> dict[str, str]:
    here = f"/v1/jobs/{job_id}"
    return {
        "self": here,
        "result": f"{here}/result",
        "pages": f"{here}/pages",
        "image": f"{here}/image",
        "events": f"{here}/events",
        "cancel": f"{here}/cancel",
        "retry": f"{here}/retry",
    }


def job_view(record: JobRecord) -> JobView:
    return record.view.model_copy(update={"links": links(record.id)})


def as_json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Serialised once, by pydantic's own writer."""
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


def accepted(record: JobRecord) -> Response:
    """202 for a job under way, 200 for one that has ended; both say where it is."""
    here = f"/v1/jobs/{record.id}"
    headers = {"Location": here, "Operation-Location": here}
    if record.view.state.ended:
        return as_json(job_view(record), 200, headers)
    return as_json(job_view(record), 202, headers | {"Retry-After": POLL_S})


def attachment(record: JobRecord, extension: str) -> str:
    """A Content-Disposition under the name that the client sent (RFC 6266; RFC 8187 for what is not ASCII)."""
    name = f"{record.view.filename or record.id}.{extension}"
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def why_not(record: JobRecord) -> str:
    """Why a job that has ended has no result, as a sentence."""
    if record.view.state is JobState.CANCELLED:
        return "The job was cancelled, so that it has no result; submit or retry it to read the document."
    return f"The job failed: {record.view.error.message if record.view.error else 'the cause was not recorded.'}"


def problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    """For the interface's description: these statuses come as problem documents."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": _STATUS[status], "content": content} for status in statuses}


_STATUS = {
    400: "No file came.",
    401: "No API key came, or one that is not known, was revoked or has expired.",
    403: "Not from this address or page, or not with this key's roles.",
    404: "There is no such job, or its record has expired.",
    409: "The job's state does not allow it; `detail` says why.",
    410: "The result has expired.",
    413: "Larger than this farm takes.",
    415: "None of the kinds that this farm reads.",
    422: "An option is not valid; `detail` names it.",
    429: "Over the tenant's quota; try again after Retry-After seconds.",
    503: "The farm is full or its store is away; try again after Retry-After seconds.",
}
