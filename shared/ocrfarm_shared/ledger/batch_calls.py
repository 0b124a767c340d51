"""The ledger's calls about batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from ocrfarm_shared.batches import BatchCounts, BatchItem, BatchState, BatchView
from ocrfarm_shared.contracts import Failure, JobState, Priority, Submission, stored
from ocrfarm_shared.ledger.calls import Call, Listing, new_id
from ocrfarm_shared.ledger.limits import Limits, Refusal
from ocrfarm_shared.ledger.place import Place
from ocrfarm_shared.ledger.records import JobRecord, webhook_of
from ocrfarm_shared.settings import Settings

MOST_BATCHES = 10_000  # kept of a tenant
CHUNK = 200  # jobs that one script cancels or removes, some 20 ms
LOOK_S = 60.0  # how often the dispatcher looks after the counts of a batch under way
PATIENCE_S = 10.0  # after which it goes on with a cancel that a gateway began


def _number(value: str | None) -> float | None:
    return float(value) if value else None


@dataclass(frozen=True)
class BatchRecord:
    """One batch. `submission`: the options of each of its jobs; `view` has no links and no errors yet."""

    id: str
    submission: Submission
    view: BatchView

    @classmethod
    def of(cls, row: dict[str, str]) -> Self:
        ended = ("succeeded", "partial", "failed", "cancelled", "refused")
        counts = {name: int(row.get(name) or 0) for name in ended}
        total = int(row["items"])
        under_way = max(0, total - sum(counts.values()))
        running = min(max(0, int(row["running"])), under_way)
        state = BatchState(row["state"]) if row["state"] else BatchState.RUNNING if row["closed"] else BatchState.OPEN
        view = BatchView(
            id=row["id"],
            state=state,
            counts=BatchCounts(total=total, queued=under_way - running, running=running, **counts),
            profile=row["profile"],
            priority=Priority(row["priority"]),
            tag=row["tag"] or None,
            created_at=float(row["created"]),
            closed_at=_number(row["closed"]),
            closes_at=_number(row.get("closes")),
            ended_at=_number(row["ended"]),
            webhook=webhook_of(row),
        )
        return cls(row["id"], stored(Submission, row["submission"]), view)


@dataclass(frozen=True)
class ListedItem:
    """An item, with its job beside it where there is one and its record is kept."""

    item: BatchItem
    record: JobRecord | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        number, job_id = row["number"], row["id"] or None
        if row.get("refused"):
            told = json.loads(row["refused"])
            failure = Failure.model_validate(told["error"])
            refused = BatchItem(
                number=number,
                filename=told.get("filename"),
                key=told.get("key"),
                state=JobState.FAILED,
                error=failure,
            )
            return cls(refused, None)
        if not row.get("row"):
            return cls(BatchItem(number=number, job=job_id), None)
        record = JobRecord.of(row["row"])
        return cls(item_of(record), record)


def item_of(record: JobRecord) -> BatchItem:
    """A job as an item of its batch."""
    view = record.view
    return BatchItem(
        number=record.item,
        filename=view.filename,
        key=record.item_key,
        state=view.state,
        job=record.id,
        cached=view.cached,
        error=view.error,
    )


@dataclass(frozen=True)
class ListedItems:
    batch: BatchRecord
    items: list[ListedItem]


@dataclass(frozen=True)
class Created:
    """`same`: this Idempotency-Key made that batch before. `conflict`: with other options; `quota`: the tenant keeps too many."""

    outcome: Literal["new", "same", "conflict", "quota"]
    id: str


def create(
    *,
    tenant: str,
    submission: Submission,
    settings: Settings,
    idempotency_key: str | None = None,
    idempotency_print: str = "",
) -> Call[Created]:
    """Open an empty batch. Its webhook is the batch's own: its jobs have none."""
    arguments = {
        "batch": {
            "id": new_id("batch"),
            "tenant": tenant,
            "tag": submission.tag,
            "priority": submission.priority.value,
            "profile": submission.ocr.profile,
            "webhook": submission.webhook,
        },
        "submission": submission.model_copy(update={"webhook": None}).model_dump_json(),
        "open_s": settings.batch_open_s,
        "most_batches": MOST_BATCHES,
        "idempotency_key": idempotency_key,
        "idempotency_print": idempotency_print,
        "result_ttl": settings.result_ttl_s,
        "record_ttl": settings.record_ttl_s,
        "index_ttl": settings.result_ttl_s + settings.record_ttl_s + 14 * 86400,
    }
    return Call("batch_create", lambda a: Created(a["outcome"], a.get("id", "")), arguments)


RefuseOutcome = Literal["new", "same", "no_batch", "closed", "batch_full", "conflict", "quota"]


@dataclass(frozen=True)
class Refused:
    """`quota`: the tenant has used up what it may send, or too many such files are kept of it; `refusal` says which."""

    outcome: RefuseOutcome
    number: int
    refusal: Refusal | None = None


def refuse(
    *, tenant: str, limits: Limits, upload_bytes: int, place: Place, filename: str | None, failure: Failure
) -> Call[Refused]:
    """Record a file that cannot become a job as an item with an error. It counts in the tenant's quota as a job does."""
    arguments = {
        "tenant": tenant,
        "limits": limits.arguments(),
        "bytes": upload_bytes,
        "batch": place.arguments(),
        "filename": filename and filename[:255],
        "failure": failure.model_dump(),
    }

    def parse(a: dict[str, Any]) -> Refused:
        return Refused(a["outcome"], a.get("number", 0), Refusal.of(a.get("refusal")))

    return Call("batch_refuse", parse, arguments)


def view(tenant: str, ids: Sequence[str]) -> Call[list[BatchRecord]]:
    """The batches among these ids that exist and are this tenant's, in the order asked for."""
    return Call(
        "batch_view",
        lambda a: [BatchRecord.of(row) for row in a["rows"] or ()],
        {"tenant": tenant, "ids": list(ids)},
    )


def list_batches(tenant: str, *, cursor: str | None = None, limit: int = 50) -> Call[Listing]:
    """Ids, newest first. A listing may come back short or empty with a cursor: go on from it."""
    return Call(
        "batch_list",
        lambda a: Listing(list(a["ids"] or ()), a["cursor"] or None),
        {"tenant": tenant, "cursor": cursor, "limit": limit},
    )


Order = Literal["number", "ended", "troubled"]


def items(
    tenant: str, batch_id: str, *, order: Order = "number", after: int = 0, limit: int = 100
) -> Call[ListedItems | None]:
    """Items by number, in the order in which they ended, or those that did not succeed whole. None: no such batch.

    `after`: a number (`number`, `troubled`), or how many ended ones were seen (`ended`).
    """

    def parse(a: dict[str, Any]) -> ListedItems | None:
        if a.get("unknown"):
            return None
        return ListedItems(BatchRecord.of(a["batch"]), [ListedItem.of(row) for row in a["rows"] or ()])

    return Call(
        "batch_items", parse, {"tenant": tenant, "id": batch_id, "order": order, "after": after, "limit": limit}
    )


def close(tenant: str, batch_id: str) -> Call[Literal["closed", "same", "unknown"]]:
    return Call("batch_close", lambda a: a["outcome"], {"tenant": tenant, "id": batch_id})


def stop(tenant: str, batch_id: str, how: Literal["cancel", "delete"]) -> Call[Literal["stopping", "ended", "unknown"]]:
    """From now on it takes nothing, and its jobs are cancelled or removed by calls of `stopping`; a dispatcher does what is left."""
    return Call("batch_stop", lambda a: a["outcome"], {"tenant": tenant, "id": batch_id, "how": how})


def stopping(batch_id: str) -> Call[int]:
    """A chunk of a batch that was stopped; more is left where the answer is not 0."""
    return Call("batch_stopping", lambda a: int(a["left"]), {"id": batch_id, "limit": CHUNK})


@dataclass(frozen=True)
class Tended:
    closed: int
    stopped: int
    mended: int

    @property
    def anything(self) -> bool:
        return bool(self.closed or self.stopped or self.mended)


def tend(settings: Settings) -> Call[Tended]:
    """The dispatcher's round over batches."""
    arguments = {"limit": CHUNK, "patience_s": max(PATIENCE_S, settings.sweep_s), "look_s": LOOK_S}
    return Call("batch_tend", lambda a: Tended(**a), arguments)
