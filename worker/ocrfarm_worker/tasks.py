"""The only file that knows tasks: blob -> pipeline -> ledger."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery
from celery.app.task import Task
from celery.worker.request import Request

from ocrfarm_shared.contracts import SCHEMA_VERSION, Page
from ocrfarm_shared.errors import DecodeTimeout, Internal, OcrFarmError, OutOfMemory, Timeout
from ocrfarm_shared.fingerprint import reader_print
from ocrfarm_shared.ledger import artefact_calls, calls, node_calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.profiles import get_profile, model_versions
from ocrfarm_shared.queue import TASK_READ_UNIT
from ocrfarm_shared.telemetry import log_context
from ocrfarm_worker import counted, pipeline
from ocrfarm_worker.document import Limits
from ocrfarm_worker.export.make import make
from ocrfarm_worker.gate import GATE
from ocrfarm_worker.hands import Hands, hands
from ocrfarm_worker.insisting import insist
from ocrfarm_worker.uploads import NotHeld, NotNow

log = logging.getLogger(__name__)

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
    """Claim a unit, do it, record it. Whatever happens is recorded, or left to the lease.

    Raises RedisError where Redis stays away for longer than that.
    """
    settings = me.settings
    claimed = insist(
        me.ledger,
        calls.claim(unit, owner=owner, node=me.node, process=me.process, lease_s=settings.lease_s),
        settings.lease_s,
    )
    if isinstance(claimed, str):
        if claimed == "newer":
            log.warning("%s is for workers of a later release; left for them", unit)
        if claimed == "drained":
            GATE.close_for(settings.lease_s)
        return claimed
    with log_context(**_ids(claimed)):
        me.hold(unit, claimed.token)
        counted.claimed(claimed)
        try:
            done = _do(claimed, me)
        except OcrFarmError as err:
            return _failed(claimed, err, me)
        except NotNow as err:
            return _given_back(claimed, err, me)
        except NotHeld as err:
            log.info("let go: %s", err)
            return "gone"
        except SoftTimeLimitExceeded:
            return _failed(claimed, Timeout(), me)
        except MemoryError:
            return _failed(claimed, OutOfMemory(), me)
        except Exception as err:
            if isinstance(err, cv2.error) and err.code == _CV_OUT_OF_MEMORY:
                return _failed(claimed, OutOfMemory(), me)
            log.exception("reading failed for a reason that we do not know")
            return _failed(claimed, Internal(), me)
        finally:
            # A write that Redis does not hear within a lease is somebody else's to repeat.
            me.let_go()
        return "recorded" if done else "stale"


def _ids(claimed: ClaimedUnit) -> dict[str, object]:
    """What every log line about this unit carries. `job`: the one that began the run; gateways log which others follow it."""
    named = {"job": claimed.job} if claimed.job else {}
    return named | {"unit": claimed.unit, "page": claimed.number, "attempt": claimed.attempt}


def _do(claimed: ClaimedUnit, me: Hands) -> bool:
    with me.uploads.held(claimed) as path:
        return _record(claimed, path, me)


def _record(claimed: ClaimedUnit, path: Path, me: Hands) -> bool:
    limits = Limits.of(me.settings)
    if claimed.kind == "plan":
        with opening(me):
            plan = me.decoder.plan(path, claimed.media_type, limits, claimed.options.pages)
        return insist(
            me.ledger,
            calls.finish_plan(claimed.unit, claimed.token, plan.numbers, plan.page_count),
            me.settings.lease_s,
        )
    if claimed.kind == "artefact":
        blob, size = make(claimed, path, limits, me)
        made = artefact_calls.made(claimed.unit, claimed.token, blob, size)
        return insist(me.ledger, made, me.settings.lease_s)
    begun = time.perf_counter()
    page = read(claimed, path, limits, me)
    call = calls.finish_page(claimed.unit, claimed.token, page, cacheable=as_asked(claimed))
    recorded = insist(me.ledger, call, me.settings.hard_time_limit_s)
    if recorded:
        seconds = time.perf_counter() - begun
        counted.page(claimed, page, recorded, me.engines(claimed.profile), seconds)
        me.one_more(seconds)
    return bool(recorded)


def reader_of(profile: str) -> str:
    """What this release reads that profile with, as a run names it."""
    return reader_print(model_versions(get_profile(profile)))


def as_asked(claimed: ClaimedUnit) -> bool:
    """Whether this release reads with what the cache key names: else the answer is given once and not kept."""
    return claimed.reader in ("", reader_of(claimed.profile))  # "": written before runs said so


def read(claimed: ClaimedUnit, path: Path, limits: Limits, me: Hands) -> Page:
    """The page of a claimed unit, read."""
    watch = pipeline.Stopwatch()
    with watch.stage("load"), opening(me):
        loaded = me.decoder.page(path, claimed.media_type, claimed.number, claimed.options.options.dpi, limits)
    return pipeline.read_page(loaded, claimed.number, claimed.options, me.engines(claimed.profile), watch)


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
