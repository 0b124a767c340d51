"""The ledger's transitions, as values: each function says which Lua script runs with which arguments and how to read its answer.

Two thin clients run them (`ocrfarm_shared.ledger.client`): the workers' and the dispatcher's blocking one, the gateway's asyncio
one. So every rule of the ledger is written once. Times are seconds since the epoch by Redis' clock.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from ocrfarm_shared.contracts import READING_SCHEMA, SCHEMA_VERSION, CacheMode, JobState, Layout, Page, Submission
from ocrfarm_shared.errors import DeadlineExceeded, OcrFarmError, WorkerLost
from ocrfarm_shared.ledger.limits import Admission, Limits, Refusal
from ocrfarm_shared.ledger.place import Place
from ocrfarm_shared.ledger.records import ClaimedUnit, DeadJob, FarmState, JobRecord
from ocrfarm_shared.settings import Settings

T = TypeVar("T")

PLAN_WINDOW = 16  # pages of one document that stand in the backlog at a time
PIN_SECONDS = 300.0
SMALL_BYTES = 32_000  # of a picture that may be read along with others: nearly all lines and words, and few pages
MOST_FOLLOWERS = 1000  # jobs that one run ends at a time, in about a tenth of a second


@dataclass(frozen=True)
class Call(Generic[T]):
    """One atomic transition: script, arguments (sent as JSON), bytes, and the reader of the answer."""

    script: str
    parse: Callable[[Any], T]
    arguments: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""


def new_id(kind: Literal["job", "run", "batch"]) -> str:
    """An unguessable id, 128 bits, URL-safe."""
    return f"{kind}_{secrets.token_hex(16)}"


# ---------------------------------------------------------------------------------------------------- submitting


@dataclass(frozen=True)
class Upload:
    """A stored upload. `blob` is its name in the blob store."""

    blob: str
    media_type: str
    size: int
    plan: bool  # PDF, TIFF: pages are counted by a worker first


Outcome = Literal[
    "new", "joined", "hit", "same", "full", "quota", "conflict", "revoked", "store", "wait", "no_batch", "closed", "batch_full", "item"
]  # fmt: skip


@dataclass(frozen=True)
class Submitted:
    """What became of a submission: a job (`record`: as it stands), or none.

    `full`: the farm takes no more now, `quota`: of this tenant (`refusal` says which limit); `conflict`: idempotency key with other
    content; `revoked`: the API key is gone by now. Where the upload was not said to be stored: `store`: store it, nobody unlinks it for
    the next minutes, and ask again; `wait`: it is being unlinked, ask again in a moment. Into a batch: `no_batch`: there is none such;
    `closed`: it takes no more, `batch_full`: not so many; `item`: it has this item (number `job_id`), as a file that became no job.
    """

    outcome: Outcome
    job_id: str
    record: JobRecord | None
    refusal: Refusal | None = None

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Submitted:
        row = answer.get("row")
        return cls(
            answer["outcome"],
            answer.get("id", ""),
            JobRecord.of(row) if row else None,
            Refusal.of(answer.get("refusal")),
        )


def submit(
    *,
    tenant: str,
    upload: Upload,
    submission: Submission,
    cache_key: str,
    settings: Settings,
    limits: Limits | None = None,
    upload_bytes: int | None = None,
    key_id: str | None = None,
    idempotency_key: str | None = None,
    idempotency_print: str = "",
    reader: str = "",
    stored: bool = True,
    found: bool = False,
    place: Place | None = None,
) -> Call[Submitted]:
    """Make a job of an upload: from the cache, by joining a run in flight, or with a new run.

    `limits`: of the tenant and the farm, by default what the settings say. `upload_bytes`: what came in for it, by default its size.
    `reader`: what the cache key says of models and pipeline (fingerprint.reader_print); a worker that reads with others caches nothing.
    `place`: the batch that it goes into.
    `stored`: it was just stored. Else a job is made only where the upload need not be: `found` in the store and held by another job.
    """
    cached = submission.cache is not CacheMode.OFF
    arguments = {
        "job": {
            "id": new_id("job"),
            "tenant": tenant,
            "tag": submission.tag,
            "priority": submission.priority.value,
            "webhook": submission.webhook,
            "deadline_s": submission.deadline_s,
            "filename": submission.filename,
            "media_type": upload.media_type,
            "size": upload.size,
            "blob": upload.blob,
        },
        "run_id": new_id("run"),
        "key": key_id,
        "schema": READING_SCHEMA,
        "reader": reader,
        "plan": upload.plan,
        "small": not upload.plan and upload.size <= SMALL_BYTES and submission.ocr.layout is not Layout.PAGE,
        "profile": submission.ocr.profile,
        "options": submission.ocr.model_dump_json(),
        "submission": submission.model_dump_json(),
        "cache_key": cache_key if cached else "",
        "flight_key": cache_key if cached else "",
        "use_cache": submission.cache is CacheMode.USE,
        "idempotency_key": idempotency_key,
        "idempotency_print": idempotency_print,
        "limits": (limits or Limits.of(settings)).arguments(),
        "bytes": upload.size if upload_bytes is None else upload_bytes,
        "most_followers": MOST_FOLLOWERS,
        "result_ttl": settings.result_ttl_s,
        "record_ttl": settings.record_ttl_s,
        "index_ttl": settings.result_ttl_s + settings.record_ttl_s + 14 * 86400,
        "stored": stored,
        "found": found,
        "pin_seconds": PIN_SECONDS,
        "batch": place.arguments() if place else None,
    }
    return Call("submit", Submitted.of, arguments)


def admit(tenant: str, limits: Limits, idempotency_key: str | None = None) -> Call[Admission]:
    """Whether a document of this tenant's would be refused anyway, before it is read off the wire. `submit` decides."""
    return Call("admit", Admission.of, {"tenant": tenant, "limits": limits.arguments(), "key": idempotency_key})


def charge(tenant: str, limits: Limits, upload_bytes: int) -> Call[bool]:
    """An upload came in and was refused: it counts as one submission of so many bytes. True: the tenant has used up its quota by now."""
    arguments = {"tenant": tenant, "limits": limits.arguments(), "bytes": upload_bytes}
    return Call("charge", lambda a: bool(a.get("over")), arguments)


def stored(call: Call[Submitted]) -> Call[Submitted]:
    """The same submission, now that its upload is stored."""
    return replace(call, arguments=call.arguments | {"stored": True})


def cancel(tenant: str, job_id: str) -> Call[Literal["cancelled", "ended", "unknown"]]:
    return Call("cancel", lambda a: a["outcome"], {"tenant": tenant, "id": job_id})


def delete(tenant: str, job_id: str) -> Call[Literal["deleted", "unknown"]]:
    return Call("delete", lambda a: a["outcome"], {"tenant": tenant, "id": job_id})


# ---------------------------------------------------------------------------------------------------- reading


def view(tenant: str, job_ids: Sequence[str], *, position: bool = True) -> Call[list[JobRecord]]:
    """The jobs among these ids that exist and are this tenant's, in the order asked for."""
    return Call(
        "view",
        lambda a: [JobRecord.of(row) for row in a["rows"] or ()],
        {"tenant": tenant, "ids": list(job_ids), "position": position},
    )


@dataclass(frozen=True)
class Listing:
    ids: list[str]
    cursor: str | None


def list_jobs(
    tenant: str, *, state: JobState | None = None, tag: str | None = None, cursor: str | None = None, limit: int = 50
) -> Call[Listing]:
    """Ids, newest first. A listing may come back short or empty with a cursor: go on from it."""
    return Call(
        "list",
        lambda a: Listing(list(a["ids"] or ()), a["cursor"] or None),
        {"tenant": tenant, "state": state and state.value, "tag": tag, "cursor": cursor, "limit": limit, "scan": 1000},
    )


def pages(run_id: str, *, after: int = 0, limit: int = 100_000) -> Call[list[Page]]:
    """Finished pages with a number over `after`, in page order."""
    return Call("pages", lambda a: [unpack_page(b) for b in a[1::2]], {"run": run_id, "after": after, "limit": limit})


def done_pages(run_ids: Sequence[str]) -> Call[list[list[int]]]:
    """The numbers of the finished pages of each of these runs, in no order."""
    return Call("done", lambda a: [[int(n) for n in numbers] for numbers in a], {"runs": list(run_ids)})


def farm(tenant: str) -> Call[FarmState]:
    return Call("farm", FarmState.of, {"tenant": tenant})


def dead_letters(tenant: str, *, job_id: str | None = None, limit: int = 200) -> Call[list[DeadJob]]:
    """Jobs that failed for good through no fault of the document, newest first; with `job_id`, that job's attempts."""
    return Call(
        "attempts",
        lambda a: [DeadJob.of(row) for row in a["rows"] or ()],
        {"tenant": tenant, "id": job_id, "limit": limit},
    )


@dataclass(frozen=True)
class DeadListing:
    """`cursor`: where to go on; None at the end."""

    letters: list[DeadJob]
    cursor: str | None


def list_dead_letters(tenant: str, *, cursor: str | None = None, limit: int = 200) -> Call[DeadListing]:
    """Jobs that failed for good through no fault of the document, newest first. `cursor`: of the former answer, `SCORE-ID`."""
    score, _, after = (cursor or "").partition("-")
    return Call(
        "attempts",
        lambda a: DeadListing([DeadJob.of(row) for row in a["rows"] or ()], a["cursor"] or None),
        {"tenant": tenant, "id": None, "limit": limit, "score": score, "after": after},
    )


# ---------------------------------------------------------------------------------------------------- working


Refused = Literal["gone", "foreign", "newer", "drained", "left"]


def claim(
    unit: str, *, owner: str, node: str, lease_s: float, process: str = "", schema: int = SCHEMA_VERSION
) -> Call[ClaimedUnit | Refused]:
    """Take a unit. `owner` is the Celery task id, `schema` the newest that the caller understands.

    'gone': ended or cancelled; 'foreign': somebody else is reading it; 'newer': it is for workers of a later release; 'drained': this node
    is to take no more, and the unit was published anew for others; 'left': faster processes will have read it sooner (pace.py).
    `taking.take` takes small ones along.
    """

    def parse(a: dict[str, Any]) -> ClaimedUnit | Refused:
        refused: Refused | None = a.get("refused")
        return refused or ClaimedUnit.of(a["taken"][0])

    by = {"owner": owner, "node": node, "lease_s": lease_s, "process": process, "schema": schema, "most": 1}
    return Call("claim", parse, {"unit": unit, "by": by})


@dataclass(frozen=True)
class Pulse:
    """`stale`: the unit is somebody else's now; `cancelled`: nobody wants it any more. `now`: Redis' clock. `drained`: the node is to take
    no more units."""

    state: Literal["idle", "held", "stale", "cancelled"]
    now: float
    drained: bool = False


def heartbeat(
    process: str,
    info: dict[str, Any],
    *,
    lease_s: float,
    unit: str | None = None,
    token: int | None = None,
    log: Sequence[str] | None = None,
    counters: Mapping[str, int] | None = None,
    along: Sequence[tuple[str, int]] = (),
) -> Call[Pulse]:
    """A worker process lives; the leases of the unit that it holds, and of those (unit, token) that it reads along with that, are extended.

    `log`: its last lines about that unit, where there are new ones. `counters`: what it counted since the last heartbeat (counting.py); a
    heartbeat whose answer was lost may count twice. `info`: what it says of itself; `reads` in it names the profiles.
    """
    arguments = {
        "process": process,
        "node": info.get("node"),
        "info": json.dumps(info),
        "lease_s": lease_s,
        "unit": unit,
        "token": token,
        "log": list(log) if log else None,
        "counters": dict(counters or {}),
        "reads": list(info.get("reads") or ()),
        "along": [list(other) for other in along],
    }
    return Call("heartbeat", lambda a: Pulse(a["state"], a["now"], bool(a.get("drained"))), arguments)


def farewell(process: str, reads: Sequence[str] = (), *, counters: Mapping[str, int] | None = None) -> Call[None]:
    """A worker process leaves, which reads those profiles. `counters`: what it counted since its last heartbeat."""
    arguments = {"process": process, "reads": list(reads), "counters": dict(counters or {})}
    return Call("farewell", lambda _: None, arguments)


@dataclass(frozen=True)
class Recorded:
    """True where the page was recorded. `took_s`: seconds from the document's acceptance, where that was its last page."""

    recorded: bool
    took_s: float | None = None

    def __bool__(self) -> bool:
        return self.recorded


def finish_page(
    unit: str, token: int, page: Page, *, cacheable: bool = True, counters: dict[str, int] | None = None
) -> Call[Recorded]:
    """Record a page that was read. False: the token is stale or the run has ended, and nothing was written."""
    return Call(
        "finish",
        lambda a: Recorded(bool(a["recorded"]), a.get("took")),
        {"unit": unit, "token": token, "cacheable": cacheable, "counters": counters or {}},
        pack_page(page),
    )


def finish_plan(unit: str, token: int, numbers: Sequence[int], page_count: int) -> Call[bool]:
    """Record which pages (counted from 1, at least one) of a document of `page_count` pages are to be read."""
    if not numbers:
        raise ValueError("a plan needs at least one page")
    arguments = {"unit": unit, "token": token, "pages": list(numbers), "page_count": page_count, "window": PLAN_WINDOW}
    return Call("plan", lambda a: bool(a["recorded"]), arguments)


FailOutcome = Literal["retried", "failed", "stale", "gone"]


def fail(
    unit: str,
    error: OcrFarmError,
    *,
    max_attempts: int,
    token: int | None = None,
    owner: str | None = None,
    log: Sequence[str] | None = None,
) -> Call[FailOutcome]:
    """An attempt failed. By the holder (`token`), or by its pool's parent, which saw the process die (`owner`): on all that it held.

    `log`: the last lines about it, JSON texts; None: those that the holder's last heartbeat brought.
    """
    if token is None and owner is None:
        raise ValueError("say who held it: token or owner")
    arguments = {
        "unit": unit,
        "token": token,
        "owner": owner,
        "failure": error.failure().model_dump(),
        "retryable": error.retryable,
        "dead_letter": error.dead_letter,
        "max_attempts": min(max_attempts, error.attempts or max_attempts),
        "log": None if log is None else list(log),
    }
    return Call("fail", lambda a: a["outcome"], arguments)


# ---------------------------------------------------------------------------------------------------- dispatching


@dataclass(frozen=True)
class Swept:
    """What one round of the dispatcher did, in units or jobs; by name the units taken back, and the jobs that were too late."""

    lost: int
    republished: int
    delayed: int
    deadlines: int
    expired: int
    live: int
    taken_back: tuple[str, ...] = field(default=(), repr=False)
    late: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Swept:
        named = {name: tuple(answer.get(name) or ()) for name in ("taken_back", "late")}
        return cls(**answer | named)

    @property
    def anything(self) -> bool:
        return bool(self.lost or self.republished or self.delayed or self.deadlines or self.expired)


def sweep(settings: Settings, *, limit: int = 200) -> Call[Swept]:
    """Take back lost leases, publish again what was lost, end what is past its deadline, expire results."""
    arguments = {
        "limit": limit,
        "republish_s": settings.lease_s,
        "max_attempts": settings.max_attempts,
        "lost": WorkerLost().failure().model_dump(),
        "deadline": DeadlineExceeded().failure().model_dump(),
    }
    return Call("sweep", Swept.of, arguments)


def reap(*, grace_s: float, done: Sequence[str] = (), orphans: Sequence[str] = (), limit: int = 200) -> Call[list[str]]:
    """Uploads that may be unlinked now. Unlink them, then name them in the next call's `done`."""
    arguments = {"grace_s": grace_s, "done": list(done), "orphans": list(orphans), "limit": limit}
    return Call("reap", lambda a: list(a["free"] or ()), arguments)


def lead(who: str, *, seconds: float) -> Call[bool]:
    """Become or stay the leading dispatcher for that long."""
    return Call("lead", lambda a: bool(a["leads"]), {"who": who, "seconds": seconds})


# ---------------------------------------------------------------------------------------------------- page payloads


def pack_page(page: Page) -> bytes:
    """A page as Redis holds it: 'z' + zlib of its JSON. ('j' + plain JSON is what the scripts themselves write.)"""
    return b"z" + zlib.compress(page.model_dump_json().encode(), 6)


def unpack_page(payload: bytes) -> Page:
    body = zlib.decompress(payload[1:]) if payload[:1] == b"z" else payload[1:]
    return Page.model_validate_json(body)
