"""Options of a submission: from body and query together, and the description of the bodies for /openapi.json: they are read as they stream,
so FastAPI cannot derive it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request

from ocrfarm_api.admission import Counted, admit, counting_refusals
from ocrfarm_api.callers import Caller
from ocrfarm_api.deps import Farm
from ocrfarm_api.intake import Received, receive
from ocrfarm_api.json_body import MEMBERS
from ocrfarm_shared.contracts import CacheMode, Layout, Priority, ReadingOptions
from ocrfarm_shared.errors import BadOption, MissingFile
from ocrfarm_shared.profiles import default_profile, profiles

_OPTIONS: dict[str, Any] = {
    "profile": {"type": "string", "enum": list(profiles()), "default": default_profile()},
    "layout": {
        "type": "string",
        "enum": [str(name) for name in Layout],
        "default": "auto",
        "description": "`line`: the image is one line or word; `page`: find the lines; `auto`: `page` unless it is plainly a line.",
    },
    "languages": {"type": "string", "description": "Codes that the profile reads, comma separated: `en,zh`."},
    "pages": {"type": "string", "description": "Of a PDF or TIFF, counted from 1: `3`, `1-4,9`, `5-`."},
    "options": {
        **ReadingOptions.model_json_schema(),
        "title": "JSON",
        "description": 'Finer settings as one JSON object, like `{"dpi": 300}`:',
    },
    "cache": {
        "type": "string",
        "enum": [str(name) for name in CacheMode],
        "default": "use",
        "description": "`refresh`: read again and store; `off`: neither look nor store.",
    },
    "priority": {"type": "string", "enum": [str(name) for name in Priority], "default": "normal"},
    "tag": {"type": "string", "maxLength": 100, "description": "Yours; the list can be asked for it."},
    "webhook": {
        "type": "string",
        "description": "Told of the end by a signed POST of {id, state, links}, where the farm sends any.",
    },
    "deadline_s": {"type": "number", "description": "Seconds after which an unfinished job fails."},
    "filename": {"type": "string", "description": "For raw and JSON bodies: what the result is to be called."},
}

_FORM_OPTIONS = {name: value for name, value in _OPTIONS.items() if name != "filename"}

REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}, **_FORM_OPTIONS},
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["base64"],
                "properties": {"base64": {"type": "string", "format": "byte"}, **_OPTIONS},
            }
        },
        "application/octet-stream": {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": "The document; options as query parameters.",
            }
        },
    },
}

_MANY_FILES: dict[str, Any] = {"type": "array", "items": {"type": "string", "format": "binary"}}
_RAW: dict[str, Any] = {"schema": {"type": "string", "format": "binary", "description": "A zip, or one document."}}
_BATCH_OPTIONS = {
    **_FORM_OPTIONS,
    "priority": {"type": "string", "enum": [str(name) for name in Priority], "default": "bulk"},
    "close": {"type": "boolean", "default": False, "description": "No more files come: close it after these."},
}

BATCH_BODY: dict[str, Any] = {
    "required": False,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    **_BATCH_OPTIONS,
                    "key": {
                        "type": "string",
                        "maxLength": 255,
                        "description": "Before a file: its name for you; the same key again adds nothing.",
                    },
                    "file": _MANY_FILES,
                },
            }
        },
        "application/json": {"schema": {"type": "object", "properties": _BATCH_OPTIONS}},
        "application/zip": _RAW,
    },
}
FILES_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"key": {"type": "string", "maxLength": 255}, "file": _MANY_FILES},
            }
        },
        "application/zip": _RAW,
    },
}


@asynccontextmanager
async def upload(
    request: Request,
    farm: Farm,
    caller: Caller,
    *,
    idempotency_key: str | None = None,
    field: str = "file",
    members: Collection[str] = MEMBERS,
) -> AsyncIterator[Received]:
    """The request's document; refusals are counted until the block ends. Raises as `admit` and `receive` do."""
    declared = request.headers.get("content-length", "")
    length = int(declared) if declared.isascii() and declared.isdigit() else None
    await admit(farm, caller, length, idempotency_key=idempotency_key)
    body = Counted(request.stream())
    async with (
        counting_refusals(farm, caller, body),
        receive(
            aiter(body),
            content_type=request.headers.get("content-type"),
            content_length=length,
            folder=farm.blobs.incoming,
            threads=farm.threads,
            limit=farm.settings.max_upload_bytes,
            least_free=farm.settings.min_free_disk_bytes,
            field=field,
            members=members,
        ) as received,
    ):
        yield received


def with_query(request: Request, fields: Any) -> dict[str, Any]:
    """The options from the body and from the query together. Raises BadOption for one that was sent twice."""
    found = dict(fields)
    for name in request.query_params:
        if name == "wait":
            continue
        values = request.query_params.getlist(name)
        if name in found or (len(values) > 1 and name != "languages"):
            raise BadOption(f"The option `{name[:100]}` was sent more than once.")
        found[name] = ",".join(values)
    if "file" in found:
        raise MissingFile(
            "`file` must be a part of a multipart/form-data body, not a query parameter or a JSON member."
        )
    return found
