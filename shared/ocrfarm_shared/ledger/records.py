"""What the ledger's scripts answer, as frozen dataclasses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from ocrfarm_shared.contracts import (
    Attempt,
    Failure,
    JobState,
    JobView,
    OcrOptions,
    Priority,
    Progress,
    Submission,
    WebhookView,
    stored,
)


def _number(value: str | None) -> float | None:
    return float(value) if value else None


def _count(value: str | None) -> int | None:
    return int(value) if value else None


def webhook_of(row: dict[str, str]) -> WebhookView | None:
    """Of a job's or batch's record."""
    if not row.get("webhook"):
        return None
    return WebhookView.model_validate_json(row["hook"]) if row.get("hook") else WebhookView()


def nobody_reads(profile: str, slots: int) -> str:
    """Why a page of a profile waits that none of the worker processes alive (`slots`) can read."""
    if not slots:
        return "No worker is alive that takes pages; it is read once one is (`ocrfarm worker`; `ocrfarm node list` shows drained ones)."
    return (
        f"No node that is alive can read the profile {profile!r}; it is read once one can: `ocrfarm models build` or `ocrfarm models add` "
        "brings a node the models, and OCRFARM_PROFILES must not leave the profile out."
    )


@dataclass(frozen=True)
class JobRecord:
    """One job beside its run. `gone`: the result was removed at its end of life, the record is still there (410)."""

    id: str
    tenant: str
    run_id: str
    blob: str
    gone: bool
    submission: Submission
    page_count: int | None
    view: JobView
    item: int = 0
    """Its number in its batch, from 1; 0: in none."""
    item_key: str | None = None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        job: dict[str, str] = row["job"]
        run: dict[str, str] = row.get("run") or {}
        ended = bool(job["state"])
        state = JobState(job["state"] or run.get("state") or "queued")
        error = job.get("error") or ""
        view = JobView(
            id=job["id"],
            state=state,
            queue_position=row.get("position") if state is JobState.QUEUED else None,
            cached=job["cached"] == "1",
            progress=Progress(pages_done=int(run.get("done") or 0), pages_total=_count(run.get("total"))),
            attempt=int(run.get("attempt") or 0),
            profile=job["profile"],
            priority=Priority(job["priority"]),
            tag=job["tag"] or None,
            batch=job.get("batch") or None,
            filename=job["filename"] or None,
            media_type=job["media_type"],
            size=int(job["size"]),
            created_at=float(job["created"]),
            started_at=_number(run.get("started")),
            ended_at=_number(job.get("ended")) if ended else None,
            expires_at=_number(job.get("expires")) if ended else None,
            error=Failure.model_validate_json(error) if error else None,
            webhook=webhook_of(job),
            waiting_for=nobody_reads(job["profile"], row.get("slots") or 0)
            if state is JobState.QUEUED and row.get("readers") == 0
            else None,
        )
        return cls(
            id=job["id"],
            tenant=job["tenant"],
            run_id=job["run"],
            blob=job["blob"],
            gone=job.get("gone") == "1",
            submission=stored(Submission, job["submission"]),
            page_count=_count(run.get("page_count")) or _count(run.get("total")),
            view=view,
            item=int(job.get("item") or 0),
            item_key=job.get("item_key") or None,
        )


@dataclass(frozen=True)
class ClaimedUnit:
    """A unit that this worker now holds. `kind`: 'plan' (count the pages), 'page' (`number`, from 1) or 'artefact' (`name`, made of the
    run `source`)."""

    unit: str
    token: int
    attempt: int
    run_id: str
    kind: str
    number: int
    tenant: str
    blob: str
    media_type: str
    profile: str
    options: OcrOptions
    reader: str = ""
    source: str = ""
    name: str = ""
    job: str = ""
    """The one that began the run; others may follow it."""
    priority: str = ""
    waited_s: float | None = None
    """Since the document was accepted, where this is the first that is done of it."""

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        return cls(
            unit=answer["unit"],
            token=answer["token"],
            attempt=answer["attempt"],
            run_id=answer["run"],
            kind=answer["kind"],
            number=answer["number"],
            tenant=answer["tenant"],
            blob=answer["blob"],
            media_type=answer["media_type"],
            profile=answer["profile"],
            options=stored(OcrOptions, answer["options"]),
            reader=answer.get("reader") or "",
            source=answer.get("source") or "",
            name=answer.get("name") or "",
            job=answer.get("job") or "",
            priority=answer.get("priority") or "",
            waited_s=answer.get("waited"),
        )


@dataclass(frozen=True)
class FarmState:
    """The farm at a glance. `processes`: id and what it said of itself. `stats`: counters since the ledger began."""

    slots: int
    active_jobs: int
    queued: int
    published: int
    running: int
    oldest_s: float | None
    pages_per_minute: float
    dead_letters: int
    outbox: int
    now: float
    stats: dict[str, int]
    profiles: dict[str, dict[str, int]]
    processes: dict[str, dict[str, Any]]
    drained: frozenset[str] = frozenset()
    """Ids of the nodes that are to take no more."""
    resting: frozenset[str] = frozenset()
    """Ids of the processes that have heard so: what they said of themselves, they said after it."""

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        return cls(
            slots=answer["slots"],
            active_jobs=answer["active"],
            queued=answer["queued"],
            published=answer["published"],
            running=answer["running"],
            oldest_s=answer["oldest"],
            pages_per_minute=answer["pages_per_minute"],
            dead_letters=answer["dead"],
            outbox=answer["outbox"],
            now=answer["now"],
            stats={k: int(v) for k, v in (answer["stats"] or {}).items()},
            profiles=answer["profiles"] or {},
            processes={name: json.loads(info) for name, info, _ in answer["processes"] or ()},
            drained=frozenset(answer.get("drained") or ()),
            resting=frozenset(name for name, _, rests in answer["processes"] or () if rests),
        )


@dataclass(frozen=True)
class DeadJob:
    """A job with every failed attempt that was made on it. `gone`: its document is no longer kept."""

    id: str
    dead: bool
    gone: bool
    failure: Failure | None
    ended: float | None
    filename: str | None
    tag: str | None
    profile: str
    attempts: list[Attempt]

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        return cls(
            id=row["id"],
            dead=row["dead"],
            gone=bool(row.get("gone")),
            failure=Failure.model_validate_json(row["error"]) if row["error"] else None,
            ended=_number(row["ended"]),
            filename=row.get("filename") or None,
            tag=row.get("tag") or None,
            profile=row.get("profile") or "",
            attempts=[_attempt(json.loads(text)) for text in row["attempts"] or ()],
        )


def _attempt(said: dict[str, Any]) -> Attempt:
    kind, number = ("plan", None) if said["unit"].endswith(":0") else ("page", int(said["unit"].rpartition(":")[2]))
    log = [json.loads(line) for line in said.get("log") or ()]
    return Attempt.model_validate(said | {"kind": kind, "page": number, "log": log})
