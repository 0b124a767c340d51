"""The only file that knows tasks: blob -> pipeline -> ledger.

A message brings a process one unit. What it reads next it takes from the ledger itself, with the answer to what it recorded: for about a
second, then it lets Celery bring the next, which watches over time, memory and shutdown between two messages.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery
from celery.app.task import Task
from celery.worker.request import Request

from ocrfarm_shared.contracts import SCHEMA_VERSION, Page
from ocrfarm_shared.errors import DecodeTimeout, Internal, OcrFarmError, OutOfMemory, Timeout
from ocrfarm_shared.fingerprint import reader_print
from ocrfarm_shared.ledger import artefact_calls, calls, node_calls
from ocrfarm_shared.ledger.calls import Call, Recorded
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.ledger.taking import Done, Taker, and_next, take
from ocrfarm_shared.profiles import get_profile, read_with
from ocrfarm_shared.queue import TASK_READ_UNIT
from ocrfarm_shared.telemetry import log_context
from ocrfarm_worker import counted, pipeline
from ocrfarm_worker.document import Limits, LoadedPage
from ocrfarm_worker.export.make import make
from ocrfarm_worker.gate import GATE
from ocrfarm_worker.hands import Hands, hands
from ocrfarm_worker.insisting import insist, insist_all
from ocrfarm_worker.uploads import NotHeld, NotNow

log = logging.getLogger(__name__)
T = TypeVar("T")

# So long one message's process goes on with others; a page that takes longer gains nothing by it. Short of every time limit: the hard one
# counts from the message on.
GOES_ON_S = 1.0

_CV_OUT_OF_MEMORY = -4  # cv::Error::StsNoMem


def register(app: Celery) -> None:
    app.task(name=TASK_READ_UNIT, bind=True, typing=False, Request=OurTime)(_task)


class OurTime(Request):  # type: ignore[misc]  # Celery has no types
    """A message's own time limits are not taken: a forged one would let a page that hangs hold its process for ever."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.time_limits = (None, None)  # the settings' hold


def _task(self: Task, unit: str, *_: object, **__: object) -> str:
    """Celery's entry. Unknown arguments (a newer gateway's) are ignored. The answer is for the log alone.

    A message of a later release's making is let go unread: its unit stays published in the ledger, whose sweep offers it again until
    a worker of that release takes it.
    """
    schema = self.request.get("schema_version") or 1
    if schema > SCHEMA_VERSION:
        log.warning(
            "%s is for a later release (schema %s, this one reads %d); left for others", unit, schema, SCHEMA_VERSION
        )
        return "newer"
    return work(unit, owner=self.request.id, me=hands())


def work(unit: str, *, owner: str, me: Hands) -> str:
    """Claim a unit, do it, record it, and so on with what comes next. Whatever happens is recorded, or left to the lease.

    What became of the last one. Raises RedisError where Redis stays away for longer than that.
    """
    begun = time.monotonic()
    taken = insist(me.ledger, take(unit, me.taker(owner)), me.settings.lease_s)
    if isinstance(taken, str):
        if taken == "newer":
            log.warning("%s is for workers of a later release; left for them", unit)
        if taken == "drained":
            GATE.close_for(me.settings.lease_s)
        return taken
    became = "stale"
    while taken:
        profile = taken[0].profile

        def more(profile: str = profile) -> Taker | None:
            """Asked when this is read, not before."""
            return me.taker(owner, after=profile) if time.monotonic() - begun < GOES_ON_S and not GATE.closed else None

        became, taken = _one(taken[0], more, me) if len(taken) == 1 else _several(taken, more, me)
    return became


Next = Callable[[], Taker | None]
Became = tuple[str, list[ClaimedUnit]]
Why = OcrFarmError | NotNow | NotHeld


def _one(claimed: ClaimedUnit, more: Next, me: Hands) -> Became:
    """A unit by itself: what became of it, and what was taken with the answer."""
    with log_context(**_ids(claimed)):
        me.hold([claimed])
        counted.claimed(claimed)
        try:
            done = _or_why(partial(_do, claimed, more, me))
            if not isinstance(done, Done):
                return _without_page(claimed, done, me), []
        except SoftTimeLimitExceeded:
            return _failed(claimed, Timeout(), me), []
        finally:
            # A write that Redis does not hear within a lease is somebody else's to repeat.
            me.let_go()
        return "recorded" if done.recorded else "stale", done.taken


def _ids(claimed: ClaimedUnit) -> dict[str, object]:
    """What every log line about this unit carries. `job`: the one that began the run; gateways log which others follow it."""
    named = {"job": claimed.job} if claimed.job else {}
    return named | {"unit": claimed.unit, "page": claimed.number, "attempt": claimed.attempt}


def _several(taken: Sequence[ClaimedUnit], more: Next, me: Hands) -> Became:
    """Small pictures that are read together: what became of the last, and what was taken with the answer."""
    with log_context(**_ids(taken[0]), along=len(taken) - 1):
        me.hold(taken)
        for claimed in taken:
            counted.claimed(claimed)
        begun = time.perf_counter()
        try:
            pages = _or_why(partial(_read_together, taken, me))
            read = pages if isinstance(pages, list) else [pages] * len(taken)
            share = (time.perf_counter() - begun) / len(taken)
            me.pace.pictures(len(taken), share)
            return _record(taken, read, share, more, me)
        finally:
            me.let_go()


def _record(taken: Sequence[ClaimedUnit], read: Sequence[Page | Why], share: float, more: Next, me: Hands) -> Became:
    """`share`: seconds of each."""
    finished: list[tuple[ClaimedUnit, Page]] = []
    became = "stale"
    for claimed, page in zip(taken, read, strict=True):
        if isinstance(page, Page):
            finished.append((claimed, page))
            continue
        with log_context(**_ids(claimed)):
            became = _without_page(claimed, page, me)
    if not finished:
        return became, []
    last = len(finished) - 1
    some = [and_next(_finished(*one), more() if n == last else None) for n, one in enumerate(finished)]
    done = insist_all(me.ledger, some, me.settings.hard_time_limit_s)
    for (claimed, page), one in zip(finished, done, strict=True):
        _count(claimed, page, one.recorded, share, me, alone=False)
    return "recorded" if done[-1].recorded else "stale", done[-1].taken


def _without_page(claimed: ClaimedUnit, why: Why, me: Hands) -> str:
    if isinstance(why, NotNow):
        return _given_back(claimed, why, me)
    if isinstance(why, NotHeld):
        log.info("let go: %s", why)
        return "gone"
    return _failed(claimed, why, me)


def _read_together(taken: Sequence[ClaimedUnit], me: Hands) -> list[Page | Why]:
    """The page of each, or why there is none. Where reading them together fails, each is read alone: what is told of one is its own."""
    limits = Limits.of(me.settings)
    out: dict[str, Page | Why] = {}
    jobs: dict[str, pipeline.Job] = {}

    def opened(claimed: ClaimedUnit) -> pipeline.Job:
        watch = pipeline.Stopwatch()
        with me.uploads.held(claimed) as path:
            return load(claimed, path, limits, me, watch), claimed.number, claimed.options, watch

    try:
        for claimed in taken:
            job = _or_why(partial(opened, claimed))
            if isinstance(job, tuple):
                jobs[claimed.unit] = job
            else:
                out[claimed.unit] = job
        engines = me.engines(taken[0].profile)
        try:
            out |= zip(jobs, pipeline.read_together(list(jobs.values()), engines), strict=True)
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # MemoryError too
            log.warning("%d pictures could not be read together; each is read alone", len(jobs), exc_info=True)
            for unit, (page, number, options, watch) in jobs.items():
                out[unit] = _or_why(partial(pipeline.read_page, page, number, options, engines, watch))
    except SoftTimeLimitExceeded:
        out |= {claimed.unit: Timeout() for claimed in taken if claimed.unit not in out}
    return [out[claimed.unit] for claimed in taken]


def _or_why(work: Callable[[], T]) -> T | Why:
    """What it makes, or why its unit has no page. Raises SoftTimeLimitExceeded."""
    try:
        return work()
    except (OcrFarmError, NotNow, NotHeld) as err:
        return err
    except SoftTimeLimitExceeded:
        raise
    except MemoryError:
        return OutOfMemory()
    except Exception as err:
        if isinstance(err, cv2.error) and err.code == _CV_OUT_OF_MEMORY:
            return OutOfMemory()
        log.exception("reading failed for a reason that we do not know")
        return Internal()


def _do(claimed: ClaimedUnit, more: Next, me: Hands) -> Done[Any]:
    with me.uploads.held(claimed) as path:
        return _done(claimed, path, more, me)


def _done(claimed: ClaimedUnit, path: Path, more: Next, me: Hands) -> Done[Any]:
    limits = Limits.of(me.settings)
    if claimed.kind == "plan":
        with opening(me):
            plan = me.decoder.plan(path, claimed.media_type, limits, claimed.options.pages)
        call = calls.finish_plan(claimed.unit, claimed.token, plan.numbers, plan.page_count)
        return insist(me.ledger, and_next(call, more()), me.settings.lease_s)
    if claimed.kind == "artefact":
        blob, size = make(claimed, path, limits, me)
        made = artefact_calls.made(claimed.unit, claimed.token, blob, size)
        return Done(insist(me.ledger, made, me.settings.lease_s), [])
    begun = time.perf_counter()
    page = read(claimed, path, limits, me)
    done = insist(me.ledger, and_next(_finished(claimed, page), more()), me.settings.hard_time_limit_s)
    _count(claimed, page, done.recorded, time.perf_counter() - begun, me)
    return done


def _count(
    claimed: ClaimedUnit, page: Page, recorded: Recorded, seconds: float, me: Hands, *, alone: bool = True
) -> None:
    """Raises nothing: what was recorded is recorded, and the next unit may be in this process's hands already."""
    try:
        if recorded:
            counted.page(claimed, page, recorded, me.engines(claimed.profile), seconds)
            me.one_more(claimed.profile, seconds, alone=alone)
    except Exception:
        log.exception("a page was recorded and could not be counted")


def _finished(claimed: ClaimedUnit, page: Page) -> Call[Recorded]:
    return calls.finish_page(claimed.unit, claimed.token, page, cacheable=as_asked(claimed))


def reader_of(profile: str) -> str:
    """What this release reads that profile with, as a run names it."""
    return reader_print(read_with(get_profile(profile)))


def as_asked(claimed: ClaimedUnit) -> bool:
    """Whether this release reads with what the cache key names: else the answer is given once and not kept."""
    return claimed.reader in ("", reader_of(claimed.profile))  # "": written before runs said so


def read(claimed: ClaimedUnit, path: Path, limits: Limits, me: Hands) -> Page:
    """The page of a claimed unit, read."""
    watch = pipeline.Stopwatch()
    loaded = load(claimed, path, limits, me, watch)
    return pipeline.read_page(loaded, claimed.number, claimed.options, me.engines(claimed.profile), watch)


def load(claimed: ClaimedUnit, path: Path, limits: Limits, me: Hands, watch: pipeline.Stopwatch) -> LoadedPage:
    """The page of a claimed unit as pixels."""
    with watch.stage("load"), opening(me):
        return me.decoder.page(path, claimed.media_type, claimed.number, claimed.options.options.dpi, limits)


@contextmanager
def opening(me: Hands) -> Iterator[None]:
    """While a document is opened. One that is broken off by the time limit though it had the processor all the while (a quarter of the
    limit, on a busy node) is slow by itself, and would hold the next worker as long: it is not tried again. Raises DecodeTimeout for it.
    """
    me.decoder.spent_s = 0.0
    try:
        yield
    except SoftTimeLimitExceeded:
        if me.decoder.spent_s >= me.settings.soft_time_limit_s / 4:
            raise DecodeTimeout from None
        raise


def _failed(claimed: ClaimedUnit, error: OcrFarmError, me: Hands) -> str:
    log.warning("attempt failed: %s: %s", error.code, error)
    call = calls.fail(
        claimed.unit, error, token=claimed.token, max_attempts=me.settings.max_attempts, log=me.page_log.lines()
    )
    return insist(me.ledger, call, me.settings.lease_s)


def _given_back(claimed: ClaimedUnit, why: NotNow, me: Hands) -> str:
    log.warning("given back for %.0f s: %s", why.seconds, why)
    call = node_calls.give_back(claimed.unit, claimed.token, delay_s=why.seconds)
    return insist(me.ledger, call, me.settings.lease_s)
