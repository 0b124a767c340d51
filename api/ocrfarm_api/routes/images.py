"""The page as it was sent: what the polygons of a result are drawn on."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, Response

from ocrfarm_api.artefacts import Made, made
from ocrfarm_api.callers import Reader
from ocrfarm_api.deps import TheFarm
from ocrfarm_api.routes.answers import POLL_S, JobId, Wait, as_json, job_view, problems
from ocrfarm_api.waiting import find
from ocrfarm_shared.artefacts import USUAL_WIDTH, WIDTHS, Artefact

router = APIRouter(tags=["results"])
_SIZES = ", ".join(map(str, WIDTHS))


@router.get(
    "/v1/jobs/{job_id}/image",
    response_class=Response,
    responses=problems(404, 410, 422, 429, 503)
    | {
        200: {
            "description": "The picture.",
            "content": {
                f"image/{form}": {"schema": {"type": "string", "format": "binary"}} for form in ("jpeg", "webp", "png")
            },
        },
        202: {"description": "A worker makes it; ask again after Retry-After seconds."},
        304: {"description": "The picture of that ETag is the present one."},
    },
)
async def get_image(
    request: Request,
    farm: TheFarm,
    caller: Reader,
    job_id: JobId,
    page: Annotated[int, Query(ge=1, le=1_000_000, description="Of the document, counted from 1.")] = 1,
    width: Annotated[
        int, Query(ge=1, le=100_000, description=f"Pixels at the most; rounded to one of {_SIZES}, never enlarged.")
    ] = USUAL_WIDTH,
    format: Annotated[Literal["jpeg", "webp", "png"], Query()] = "jpeg",
    wait: Wait = 0,
) -> Response:
    """A page of the job's document as a picture, upright by its EXIF; a PDF page as it was rendered to be read.

    The polygons of a result are in pixels of the page (`width`, `height` there): multiply them by the picture's width over the page's. The
    first asking lets a worker make it; with `wait` the answer is held until it is there. It can be asked for as soon as the job exists.
    """
    found = await made(farm, caller, job_id, Artefact.picture(page, width, format), wait)
    if found is None:
        return as_json(job_view(await find(farm, caller.tenant, job_id)), 202, {"Retry-After": POLL_S})
    return as_file(request, found, f"image/{format}")


def as_file(request: Request, found: Made, media_type: str, headers: dict[str, str] | None = None) -> Response:
    """The file, or 304 where the caller has it already. Browsers keep it, and ask each time whether they may still see it."""
    sent = {"ETag": f'"{found.print}"', "Cache-Control": "private, no-cache"} | (headers or {})
    if sent["ETag"] in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=sent)
    return FileResponse(found.path, headers=sent, media_type=media_type)
