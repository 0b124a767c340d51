"""Content hash and cache key."""

from __future__ import annotations

import hashlib
import json

from ocrfarm_shared.contracts import OcrOptions

# Raised by hand whenever a change in the pipeline's code changes what is read; part of every cache key.
PIPELINE_VERSION = 4


def cache_key(tenant: str, content: str, options: OcrOptions, models: dict[str, str]) -> str:
    """Key under which a reading may be answered again, 64 hexadecimal digits.

    A sha256 over tenant, content hash, options, model ids with their recipe versions, and the pipeline's version. `content` is
    the hexadecimal sha256 of the upload; `models` is what the profile reads with (profiles.read_with). Scoped to the tenant,
    because an answer that comes faster tells a stranger that somebody else sent this file.
    """
    parts = [PIPELINE_VERSION, tenant, content, options.model_dump(mode="json"), dict(sorted(models.items()))]
    return hashlib.sha256(
        json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    ).hexdigest()


def request_print(content: str, options: OcrOptions) -> str:
    """What must be the same for an Idempotency-Key to mean the same request (draft-ietf-httpapi-idempotency-key-header)."""
    return hashlib.sha256(f"{content}\n{options.model_dump_json()}".encode()).hexdigest()


def reader_print(models: dict[str, str]) -> str:
    """What reads: the models with their versions, and the pipeline's version. Nodes of two releases may read one run; a page that another
    reader read than the cache key says is given to whoever waits for it, and not kept for the next."""
    parts = json.dumps([PIPELINE_VERSION, dict(sorted(models.items()))], separators=(",", ":"))
    return hashlib.sha256(parts.encode()).hexdigest()[:16]
