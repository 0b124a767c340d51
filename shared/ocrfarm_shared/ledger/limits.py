"""How much a tenant may send and the farm takes, and the refusals that say when to come again. Kept by `quota.lua`, inside of `submit`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from ocrfarm_shared.keys import Quota
from ocrfarm_shared.settings import Settings


@dataclass(frozen=True)
class Limits:
    """Of the tenant: submissions a minute, bytes and pages a day, jobs under way, jobs kept with results. Of the farm: jobs under way,
    and seconds that the first of the lane which a document would join has waited. 0: none."""

    jobs_per_minute: int
    bytes_per_day: int
    queued: int
    records: int
    max_queued: int
    max_waiting_s: float
    pages_per_day: int = 0

    @classmethod
    def of(cls, settings: Settings, quota: Quota | None = None) -> Self:
        """`quota`: of the key that was shown; what it leaves open the settings say. With keys, no tenant may fill the whole farm: half of
        its places are the most where nothing else is said."""
        asked = quota or Quota()
        return cls(
            jobs_per_minute=asked.jobs_per_minute or settings.tenant_jobs_per_minute,
            bytes_per_day=asked.bytes_per_day or int(settings.tenant_mb_per_day * 1e6),
            pages_per_day=asked.pages_per_day or settings.tenant_pages_per_day,
            queued=asked.queued or settings.tenant_queued or (max(1, settings.max_queued // 2) if quota else 0),
            records=settings.tenant_records,
            max_queued=settings.max_queued,
            max_waiting_s=settings.max_waiting_s,
        )

    def arguments(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Refusal:
    """Which limit was met, and in how many seconds it is worth another try."""

    limit: Literal[
        "jobs_per_minute",
        "bytes_per_day",
        "pages_per_day",
        "queued",
        "records",
        "refused_items",
        "max_queued",
        "max_waiting_s",
    ]
    seconds: float

    @classmethod
    def of(cls, answer: dict[str, Any] | None) -> Self | None:
        return cls(answer["limit"], answer["seconds"]) if answer else None


@dataclass(frozen=True)
class Admission:
    """`over`: the tenant's limit that refuses; `full`: the farm's. `active`: jobs under way; `pace`: jobs that end in a second; `pages`:
    still to be read; `page_bytes`: what one takes in Redis, on average, 0 where none was read yet."""

    over: Refusal | None
    full: Refusal | None
    active: int
    pace: float
    pages: int
    page_bytes: int

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        counts = (answer["active"], answer["pace"], answer["pages"], answer["page_bytes"])
        return cls(Refusal.of(answer.get("over")), Refusal.of(answer.get("full")), *counts)
