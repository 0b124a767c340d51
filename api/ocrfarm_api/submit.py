"""The use case: a received document becomes a job. No HTTP types here.

Order: the upload is pinned (nobody unlinks it), brought to its name and to the disk, and then named in the ledger by one script, which
also publishes its first unit. A gateway that dies between any two of these leaves a file that the dispatcher removes, never half a job.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from ocrfarm_api.deps import Farm
from ocrfarm_api.intake import Received
from ocrfarm_api.options import check_single_page
from ocrfarm_api.waiting import find
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.contracts import CacheMode, Submission
from ocrfarm_shared.errors import Expired, FarmFull, FarmUnavailable, IdempotencyConflict
from ocrfarm_shared.fingerprint import cache_key, request_print
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.calls import Upload
from ocrfarm_shared.profiles import get_profile, model_versions

FULL_RETRY_S = 10.0
PIN_WAIT_S = 5.0


@dataclass(frozen=True)
class Accepted:
    """`hit`: answered from the cache; `same`: this Idempotency-Key made that job before; else the job is under way."""

    outcome: Literal["new", "joined", "hit", "same"]
    job_id: str


async def submit(
    farm: Farm, tenant: str, received: Received, submission: Submission, idempotency_key: str | None = None
) -> Accepted:
    """Raises FarmFull, IdempotencyConflict, NoSuchPage, FarmUnavailable and the ledger's RedisError."""
    if not received.kind.many:
        check_single_page(submission.ocr.pages)
    blob = BlobStore.name(tenant, received.content)
    if await _pin(farm, blob) == "new" or not farm.blobs.path(blob).exists():
        await asyncio.get_running_loop().run_in_executor(farm.threads, farm.blobs.keep, received.temporary, blob)
    upload = Upload(blob, received.kind.media_type, received.size, received.kind.many)
    named = request_print(received.content, submission.ocr) if idempotency_key else ""
    return await _enter(farm, tenant, upload, submission, idempotency_key, named)


async def again(farm: Farm, tenant: str, job_id: str, idempotency_key: str | None = None) -> Accepted:
    """Read a job's document again, as a new job with the same options; the cache is not asked, and is refreshed.

    A new job, because the old one has reached its end, and a job does that once. Raises NotFound, and Expired where the upload is gone.
    """
    record = await find(farm, tenant, job_id)
    await _pin(farm, record.blob)
    if record.gone or not farm.blobs.path(record.blob).exists():
        raise Expired("The document of this job is no longer kept; submit it again.")
    cache = CacheMode.OFF if record.submission.cache is CacheMode.OFF else CacheMode.REFRESH
    submission = record.submission.model_copy(update={"cache": cache})
    media_type = record.view.media_type or ""
    upload = Upload(record.blob, media_type, record.view.size or 0, media_type in ("application/pdf", "image/tiff"))
    return await _enter(farm, tenant, upload, submission, idempotency_key, f"again:{job_id}")


async def _enter(
    farm: Farm, tenant: str, upload: Upload, submission: Submission, idempotency_key: str | None, named: str
) -> Accepted:
    versions = model_versions(get_profile(submission.ocr.profile))
    answer = await farm.ledger(
        calls.submit(
            tenant=tenant,
            upload=upload,
            submission=submission,
            cache_key=cache_key(tenant, upload.blob.partition("/")[2], submission.ocr, versions),
            settings=farm.settings,
            idempotency_key=idempotency_key,
            idempotency_print=named,
        )
    )
    if answer.outcome == "full":
        raise FarmFull(retry_after=FULL_RETRY_S)
    if answer.outcome == "conflict":
        raise IdempotencyConflict
    return Accepted(answer.outcome, answer.job_id)


async def _pin(farm: Farm, blob: str) -> Literal["known", "new"]:
    """Wait while the dispatcher unlinks an old upload of the same content (milliseconds; 30 s if it died in between)."""
    loop = asyncio.get_running_loop()
    limit = loop.time() + PIN_WAIT_S
    while (outcome := await farm.ledger(calls.pin(blob))) == "wait":
        if loop.time() > limit:
            raise FarmUnavailable(
                "This document is just being removed; send it again in a moment.", retry_after=PIN_WAIT_S
            )
        await asyncio.sleep(0.02)
    return outcome
