"""Wire types of batches: many documents sent as one thing, followed as one thing. An item is a job, or a file that could not become one."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from ocrfarm_shared.contracts import Failure, JobState, Priority, Travelling, WebhookView


class BatchState(StrEnum):
    """`open`: takes files. `running`: closed, and some items are under way. The others are ends: a batch enters one of them, once."""

    OPEN = "open"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (BatchState.OPEN, BatchState.RUNNING)


class BatchCounts(Travelling):
    """Items by where they stand. `refused`: files that became no job (broken, of an unknown kind, too large)."""

    total: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    partial: int = 0
    failed: int = 0
    cancelled: int = 0
    refused: int = 0

    @property
    def ended(self) -> int:
        return self.total - self.queued - self.running


class BatchItem(Travelling):
    """One item. A file that became no job has state failed, `error`, and no `job`."""

    number: int = Field(description="Counted from 1, in the order in which the items were added.")
    filename: str | None = None
    state: JobState | None = Field(None, description="Null: its record has expired or was deleted.")
    job: str | None = Field(None, description="Id of its job; its result is at /v1/jobs/{id}/result.")
    key: str | None = Field(None, description="What its sender called it: the form field `key` before the file.")
    cached: bool = False
    error: Failure | None = None


class BatchView(Travelling):
    """What `GET /v1/batches/{id}` answers. Times are seconds since the epoch, by the ledger's clock."""

    id: str
    state: BatchState
    counts: BatchCounts
    profile: str = ""
    priority: Priority = Priority.BULK
    tag: str | None = None
    created_at: float = 0.0
    closed_at: float | None = None
    closes_at: float | None = Field(
        None, description="While it is open: when it is closed, if no file comes until then."
    )
    ended_at: float | None = None
    errors: list[BatchItem] = Field(
        [], description="The first items that did not succeed whole; `links.errors` has all."
    )
    webhook: WebhookView | None = Field(None, description="Null where none was asked for.")
    links: dict[str, str] = {}


class BatchReceipt(BatchView):
    """The batch after files were sent. `items`: the first thousand that this request brought, `added`: how many in all."""

    added: int = 0
    items: list[BatchItem] = []


class BatchList(Travelling):
    batches: list[BatchView]
    cursor: str | None = Field(None, description="Give it back as `cursor=` for the next page; None at the end.")


class BatchItems(Travelling):
    """Items in the order that was asked for."""

    state: BatchState
    items: list[BatchItem]
    cursor: str | None = Field(
        None,
        description="Give it back as `cursor=` for what follows. Null at the end: of all items, or, in order of ending, once the batch has "
        "ended and all are listed.",
    )
