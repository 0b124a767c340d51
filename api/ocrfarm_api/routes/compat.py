"""The simple forms that small OCR services offer, answered by the same farm, so that scripts written for them run unchanged.

A document is sent, the answer is its text; no job is seen. They wait for the farm for `compat_wait_s` and say why where it is not done by
then: 503 for a farm that takes nothing, 504 for one that is too slow. Keys, limits, quotas and tenants are those of /v1.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from redis.exceptions import RedisError
from starlette.responses import JSONResponse, Response

from ocrfarm_api import options
from ocrfarm_api.callers import Caller, caller
from ocrfarm_api.deps import Farm, TheFarm
from ocrfarm_api.problems import of_redis, of_validation, problem
from ocrfarm_api.routes.results import raw_pages, unpack
from ocrfarm_api.routes.submission_form import upload
from ocrfarm_api.submit import submit
from ocrfarm_api.waiting import until_ended
from ocrfarm_shared.contracts import JobState, Line, Priority
from ocrfarm_shared.errors import (
    BadOption,
    EmptyFile,
    FarmError,
    FarmUnavailable,
    Forbidden,
    Internal,
    MissingFile,
    OcrFarmError,
    Timeout,
    UnsupportedType,
    from_failure,
)
from ocrfarm_shared.keys import Role
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.profiles import default_profile, get_profile

_NEEDED = (Role.SUBMIT, Role.READ)


class Spoken(APIRoute):
    """Answers errors as those services do: an object with `error`, and `success` where the address has that."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except OcrFarmError as err:
                return _sorry(err, self.path)
            except RedisError as err:
                return _sorry(of_redis(err), self.path)
            except RequestValidationError as err:
                return _sorry(of_validation(err), self.path)

        return handled


def _sorry(error: OcrFarmError, path: str) -> Response:
    told = problem(error)
    status = 400 if isinstance(error, BadOption | MissingFile | EmptyFile) else told.status_code
    if isinstance(error, Timeout):
        status = 504
    elif isinstance(error, FarmError) and not isinstance(error, Internal):
        status = 503
    said: dict[str, Any] = {"error": json.loads(bytes(told.body))["detail"], "code": error.code}
    headers = {k: v for k, v in told.headers.items() if k in ("retry-after", "www-authenticate")}
    if status in (503, 504):
        headers.setdefault("retry-after", str(math.ceil(error.retry_after or 5)))
    return JSONResponse({"success": False, **said} if path == "/ocr" else said, status, headers)


async def _caller(asking: Annotated[Caller, Depends(caller)]) -> Caller:
    """Whoever may both submit and read: the answer is the text."""
    if missing := [role for role in _NEEDED if role not in asking.roles]:
        raise Forbidden(f"This API key may not do that: it needs the role `{missing[0]}`.")
    return asking


router = APIRouter(tags=["compat"], route_class=Spoken)
Asking = Annotated[Caller, Depends(_caller)]


def _body(field: str, *members: str) -> dict[str, Any]:
    """For the interface's description."""
    form = {"type": "object", "required": [field], "properties": {field: {"type": "string", "format": "binary"}}}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if members:
        named = {name: {"type": "string", "format": "byte"} for name in members}
        content["application/json"] = {"schema": {"type": "object", "properties": named}}
    return {"requestBody": {"required": True, "content": content}}


_ERROR = {"type": "object", "properties": {"error": {"type": "string"}, "code": {"type": "string"}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": said, "content": {"application/json": {"schema": _ERROR}}}
    for status, said in {
        400: "No image came.",
        401: "The farm asks for a key.",
        403: "Not with this key's roles, or not from this page.",
        413: "Larger than this farm takes.",
        415: "Not an image.",
        422: "The image cannot be read, or an option is not valid.",
        429: "Over the quota; again after Retry-After seconds.",
        503: "The farm is full or away; again after Retry-After seconds.",
        504: "The farm was not done in time.",
    }.items()
}


@router.post("/ocr", response_class=JSONResponse, responses=_ERRORS, openapi_extra=_body("image"))
async def ocr(request: Request, farm: TheFarm, caller: Asking) -> Response:
    """Field `image`; answers `{"success", "results": [{"text", "confidence"}], "total_time_ms"}`, a result a line."""
    began = time.monotonic()
    lines = await _lines(request, farm, caller, "image")
    results = [{"text": line.text, "confidence": line.confidence} for line in lines]
    return JSONResponse(
        {"success": True, "results": results, "total_time_ms": round(1000 * (time.monotonic() - began), 1)}
    )


@router.post(
    "/api/ocr", response_class=JSONResponse, responses=_ERRORS, openapi_extra=_body("image", "image", "base64")
)
async def api_ocr(request: Request, farm: TheFarm, caller: Asking) -> Response:
    """Field `image`, or JSON with the picture as base64 in `image` or `base64`; answers `{"text": [line, …], "time"}`, seconds."""
    began = time.monotonic()
    lines = await _lines(request, farm, caller, "image", "image", "base64")
    return JSONResponse({"text": [line.text for line in lines], "time": round(time.monotonic() - began, 3)})


@router.post("/predict", response_class=JSONResponse, responses=_ERRORS, openapi_extra=_body("file"))
async def predict(request: Request, farm: TheFarm, caller: Asking) -> Response:
    """Field `file`; answers `{"prediction"}`, the lines under each other."""
    return JSONResponse({"prediction": "\n".join(line.text for line in await _lines(request, farm, caller, "file"))})


@router.get("/health", response_class=JSONResponse, responses={503: _ERRORS[503]})
async def health(farm: TheFarm) -> Response:
    """`{"status": "ok", "model"}` where a worker process can read; asks for no key."""
    state = await farm.ledger(calls.farm(""))
    model = "+".join(get_profile(default_profile()).models)
    if state.slots == 0:
        return JSONResponse(
            {"status": "unavailable", "model": model, "error": "No worker process is alive."}, 503, {"retry-after": "5"}
        )
    return JSONResponse({"status": "ok", "model": model})


async def _lines(request: Request, farm: Farm, caller: Caller, field: str, *members: str) -> Sequence[Line]:
    """All lines of the document that the request brings, as soon as they are read. Fields beside it are another service's, and left alone;
    options of ours may stand in the query. Raises what kept it from being read."""
    limit = time.monotonic() + farm.settings.compat_wait_s
    asked = options.submission({k: v for k, v in request.query_params.items() if k in options.NAMES}, farm.settings)
    if "priority" not in request.query_params:
        asked = asked.model_copy(update={"priority": Priority.INTERACTIVE})
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("", "application/x-www-form-urlencoded") or (kind == "application/json" and not members):
        raise MissingFile(f"No image came: send it as the field `{field}` of a multipart/form-data body.")
    try:
        async with upload(request, farm, caller, field=field, members=members or ("base64",)) as received:
            asked = asked.model_copy(update={"filename": received.filename and received.filename[:255]})
            made = await submit(farm, caller, received, asked)
    except UnsupportedType as err:
        raise UnsupportedType(f"`{field}` is not an image that can be read: {err}") from None
    except MissingFile:
        raise MissingFile(f"No image came: send it as the field `{field}` of a multipart/form-data body.") from None
    if not made.view.state.ended:
        made = await until_ended(farm, caller, made.id, max(0.0, limit - time.monotonic()))
    if not made.view.state.ended and farm.events.stopping:
        raise FarmUnavailable("This gateway is being restarted; send it again.", retry_after=2)
    if not made.view.state.ended:
        await farm.ledger(calls.cancel(caller.tenant, made.id))  # nobody will ask for it: its id was told to nobody
        raise Timeout(
            f"The farm has not read this within {farm.settings.compat_wait_s:g} s; it is busy. Send it again later, or POST it to "
            "/v1/jobs, which does not wait."
        )
    if made.view.state is not JobState.SUCCEEDED:
        raise from_failure(made.view.error) if made.view.error else Internal()
    return [line for page in unpack(await raw_pages(farm, made)) for line in page.lines]
