"""The description of POST /v1/jobs' body for /openapi.json: it is read as it streams, so FastAPI cannot derive it."""

from __future__ import annotations

from typing import Any

from ocrfarm_shared.contracts import CacheMode, Layout, Priority, ReadingOptions
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
