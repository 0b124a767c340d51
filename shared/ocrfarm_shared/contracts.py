"""Wire types: what crosses HTTP, the queue and the ledger.

Types that come *in* over HTTP forbid unknown fields (`Incoming`), so that a typing error is a 422 and not a silent default.
Types that travel between our own processes ignore them (`Travelling`), because nodes lag a release behind.

Coordinates are pixels of the page as it was sent, after EXIF rotation: origin top left, x to the right, y down. For a PDF
page they are pixels of the page rendered at `Page.dpi`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# Of messages and records: the newest that this release reads. Raised when something is added that an older process may not ignore; it then
# leaves such work to newer ones. What is written carries the lowest that understands it, so that older nodes go on with all the rest.
SCHEMA_VERSION = 2
READING_SCHEMA = 1
ARTEFACT_SCHEMA = 2  # units that make something of a document instead of reading it


class JobState(StrEnum):
    """Where a job stands. The last four are terminal: a job enters exactly one of them, once."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Priority(StrEnum):
    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BULK = "bulk"


class Layout(StrEnum):
    """`line`: the image is one line or word, no detection; `page`: detect; `auto`: page unless it is plainly a line."""

    AUTO = "auto"
    PAGE = "page"
    LINE = "line"


class CacheMode(StrEnum):
    """`use`: answer from the cache and join a run in flight; `refresh`: read again and store; `off`: neither look nor store."""

    USE = "use"
    REFRESH = "refresh"
    OFF = "off"


class Incoming(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Travelling(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


Stored = TypeVar("Stored", bound=BaseModel)


def stored(kind: type[Stored], text: str) -> Stored:
    """What one of our own processes wrote, maybe of a later release: fields that we do not know are ignored, even in an `Incoming`.

    A field that may not be ignored comes with a higher SCHEMA_VERSION, which says who must not read it (CONTRIBUTING.md, Releases).
    """
    return kind.model_validate_json(text, extra="ignore")


# ---------------------------------------------------------------------------------------------------- options


class ReadingOptions(Incoming):
    """The `options` JSON of a submission: per-job settings of the reading. They never touch a process-wide object."""

    orientation: bool = Field(True, description="Turn lines (and pages) that stand on their head before reading them.")
    dpi: int = Field(200, ge=72, le=400, description="Resolution at which PDF pages are rendered, dots per inch.")
    min_confidence: float = Field(0.3, ge=0, le=1, description="Lines whose confidence is lower are left out.")


PageRange = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{1,6}(-[0-9]{0,6})?(,[0-9]{1,6}(-[0-9]{0,6})?)*$", max_length=200)
]
ProfileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Tag = Annotated[str, StringConstraints(max_length=100)]


class OcrOptions(Incoming):
    """Everything a person may choose that changes the text; part of the cache key."""

    profile: ProfileName = "balanced"
    layout: Layout = Layout.AUTO
    languages: tuple[str, ...] = ()
    pages: PageRange | None = Field(None, description="Pages of a document, counted from 1: `3`, `1-4,9`, `5-`.")
    options: ReadingOptions = ReadingOptions()


class Submission(Incoming):
    """One submission of one document: the options of the reading, and how it is to be handled."""

    ocr: OcrOptions = OcrOptions()
    cache: CacheMode = CacheMode.USE
    priority: Priority = Priority.NORMAL
    tag: Tag | None = None
    webhook: str | None = Field(None, max_length=2000)
    deadline_s: float | None = Field(None, gt=0, le=7 * 86400)
    filename: str | None = Field(None, max_length=255, description="As the client sent it: data, never a path.")


# ---------------------------------------------------------------------------------------------------- documents

Polygon = list[tuple[float, float]]


class Failure(Travelling):
    """Why something failed. `code` is stable (ocrfarm_shared.errors); `message` says what to do."""

    code: str
    message: str
    retryable: bool = False


class Word(Travelling):
    text: str
    confidence: float = Field(ge=0, le=1)
    polygon: Polygon


class Line(Travelling):
    """One line of text. `model` is the registry id of the recogniser that read it; ids are joined by "+" where several read some of its
    words each."""

    text: str
    confidence: float = Field(ge=0, le=1, description="How sure the model was of its characters, on average.")
    polygon: Polygon
    words: list[Word] = []
    model: str
    certainty: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Probability that the whole line is right; null where its model is not calibrated.",
    )


class Page(Travelling):
    """One page that was read, lines in reading order. No lines means that nothing is written there, never that it failed."""

    number: int = Field(ge=1)
    width: int = Field(ge=0, description="Pixels of the page as sent, after EXIF rotation.")
    height: int = Field(ge=0)
    dpi: int | None = Field(None, description="PDF pages: the resolution that the polygons are given at.")
    rotation: Literal[0, 90, 180, 270] = Field(
        0, description="Degrees clockwise by which the page was turned to be read."
    )
    language: str | None = Field(None, description="A guess from the letters read: en, zh, und.")
    lines: list[Line] = []
    models: list[str] = []
    timings_ms: dict[str, float] = Field({}, description="Milliseconds by stage.")
    error: Failure | None = Field(None, description="Set where this page could not be read; `lines` is then empty.")

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


class Document(Travelling):
    """What was read of one document."""

    schema_version: int = READING_SCHEMA
    page_count: int
    pages: list[Page]
    models: list[str] = []
    timings_ms: dict[str, float] = {}
    text: str = Field("", description="The pages' text, a form feed between pages.")

    @classmethod
    def of(cls, pages: list[Page], page_count: int | None = None) -> Document:
        timings: dict[str, float] = {}
        for page in pages:
            for stage, ms in page.timings_ms.items():
                timings[stage] = round(timings.get(stage, 0.0) + ms, 3)
        return cls(
            page_count=len(pages) if page_count is None else page_count,
            pages=pages,
            models=sorted({m for p in pages for m in p.models}),
            timings_ms=timings,
            text="\f".join(p.text for p in pages),
        )


# ---------------------------------------------------------------------------------------------------- jobs over HTTP


class Progress(Travelling):
    pages_done: int = 0
    pages_total: int | None = Field(None, description="None until the document was opened.")


class WebhookView(Travelling):
    """What became of a webhook. Times are seconds since the epoch."""

    state: str = Field("waiting", description="waiting, delivered, given_up")
    attempts: int = 0
    status: int | None = Field(None, description="HTTP status of the last answer.")
    error: str | None = Field(None, description="Why the last attempt failed.")
    last_at: float | None = None
    next_at: float | None = None


class WebhookSecret(Travelling):
    """`whsec_` + base64 of the key."""

    secret: str


class JobView(Travelling):
    """What `GET /v1/jobs/{id}` answers. Times are seconds since the epoch, by the ledger's clock."""

    id: str
    state: JobState
    queue_position: int | None = Field(None, description="Units ahead in the tenant's own lane; None once it runs.")
    cached: bool = False
    progress: Progress = Progress()
    attempt: int = Field(0, description="The highest number of attempts that any page of it needed so far.")
    profile: str = ""
    priority: Priority = Priority.NORMAL
    tag: str | None = None
    batch: str | None = Field(None, description="The batch that it belongs to.")
    filename: str | None = None
    media_type: str | None = None
    size: int | None = Field(None, description="Bytes.")
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = Field(None, description="When the result is removed; None while the job is under way.")
    error: Failure | None = None
    webhook: WebhookView | None = Field(None, description="Null where none was asked for.")
    waiting_for: str | None = Field(
        None,
        description="Why a queued job cannot be read now, where more than its turn is missing: no node that is alive can.",
    )
    links: dict[str, str] = {}


class JobList(Travelling):
    jobs: list[JobView]
    cursor: str | None = Field(None, description="Give it back as `cursor=` for the next page; None at the end.")


class PageList(Travelling):
    """Finished pages with a number over `after`, in page order; they may have gaps while the rest still runs."""

    state: JobState
    progress: Progress
    pages: list[Page]


class ProfileView(Travelling):
    name: str
    description: str
    models: list[str]
    languages: list[str]
    default: bool = False


class ProcessView(Travelling):
    """One worker process that can read now."""

    id: str
    node: str
    profiles: list[str] = []
    reading: str | None = None


class NodeView(Travelling):
    """A machine with worker processes. `name` is its id."""

    name: str
    slots: int
    version: str = ""
    info: dict[str, Any] = {}
    state: str = Field(
        "serving",
        description="serving; draining: it takes no more pages and may still read some; drained: each of its processes heard so and reads "
        "nothing; away: it joined once, and no process of it is alive.",
    )
    seen_at: float | None = Field(None, description="When a node that joined last asked the gateway.")


class ProfileLoad(Travelling):
    """What is under way for one profile."""

    name: str
    queued_units: int = 0
    running_units: int = 0
    slots: int | None = Field(
        None, description="Worker processes alive that can read it; null where one of an older release does not say."
    )
    waiting_for: str | None = Field(None, description="Why what is queued cannot be read now: nobody alive can.")


class FarmView(Travelling):
    """What is alive, what waits, how fast it goes."""

    version: str
    commit: str
    nodes: list[NodeView]
    slots: int = Field(description="Worker processes alive.")
    queued_units: int
    running_units: int
    oldest_queued_s: float | None = Field(description="Age of the unit that has waited longest, seconds.")
    pages_per_minute: float
    pages_total: int
    dead_letters: int
    profiles: list[ProfileLoad] = Field([], description="Those that anything is under way for, or that a node reads.")


class Attempt(Travelling):
    """One failed attempt on a page (`page`, from 1) or on opening the document (`kind` plan). Times are the ledger's clock."""

    kind: Literal["plan", "page"] = "page"
    page: int | None = None
    attempt: int = Field(description="Counted from 1, by page.")
    node: str = ""
    process: str = Field("", description="The worker process, as `GET /v1/farm` names it.")
    started: float | None = None
    ended: float | None = None
    outcome: str = Field("failed", description="retried: it was tried again; failed: it was the last attempt.")
    failure: Failure
    log: list[dict[str, Any]] = Field(
        [],
        description="The process's last log lines about it, oldest first, a few KB at most. Of a process that was killed: those "
        "that its last heartbeat brought; what it said after that is only in its node's log.",
    )


class DeadLetter(Travelling):
    """A job that failed for good through no fault of the document, with every attempt made."""

    id: str = Field(description="Id of the job.")
    failed_at: float
    failure: Failure
    filename: str | None = None
    tag: str | None = None
    profile: str = ""
    replayable: bool = Field(True, description="Whether its document is still kept, so that it can be read again.")
    attempts: list[Attempt] = Field(
        [], description="In the list without their log lines; the last 20 once the document is gone."
    )


class Problem(BaseModel):
    """application/problem+json (RFC 9457). `code` is stable; `detail` says what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    retryable: bool = False
    instance: str | None = None
    error: Failure | None = Field(None, description="Why the job has no result, where that is what was asked for.")
