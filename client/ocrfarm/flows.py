"""What takes more than one request: trying again, waiting for a job, following its pages. No input or output happens here.

A flow is a generator. It yields what it wants done, `Send` or `Pause`, is sent what came of it (a `Reply`, a `Broken`, or None after
a pause), and returns its result. `client.py` drives flows with blocking calls, `async_client.py` with asyncio.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from ocrfarm import batch_calls, calls
from ocrfarm.calls import Call, Reply
from ocrfarm_shared.batches import BatchView
from ocrfarm_shared.contracts import DeadLetter, Document, JobState, JobView, Page, PageList
from ocrfarm_shared.errors import FarmUnavailable, NotSucceeded, OcrFarmError, from_failure

T = TypeVar("T")
BUSY = {429, 503}  # the farm did not take the request: safe to send again, whatever it was
PROXY = {502, 504}  # somebody in between gave up: the request may have been taken
HELD_S = 20.0  # long polls: under the 30 s after which many proxies cut an idle connection


@dataclass(frozen=True)
class Send:
    call: Call[Any]


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Broken:
    """No answer came. `sent` is False only where the request cannot have reached the farm."""

    why: str
    sent: bool


Flow = Generator[Send | Pause, Reply | Broken | None, T]


@dataclass(frozen=True)
class Patience:
    """How long to go on trying a farm that is busy or away.

    Delays double from `first_s` to `longest_s`, each drawn at random from its upper half, so that a thousand clients of a farm that
    comes back do not knock at once. A Retry-After is never cut short. `give_up_s` bounds the whole of one call's retries.
    """

    first_s: float = 0.25
    longest_s: float = 8.0
    give_up_s: float = 60.0

    def delays(self) -> Iterator[float]:
        step = self.first_s
        while True:
            yield step * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
            step = min(step * 2, self.longest_s)


def run(call: Call[T], patience: Patience) -> Flow[T]:
    """One call, sent again while the farm is busy or away. Raises the OcrFarmError that the farm answered, or FarmUnavailable."""
    started = monotonic()
    for delay in patience.delays():
        answer = yield Send(call)
        if isinstance(answer, Reply):
            if answer.status < 400:
                return call.parse(answer)
            trouble = calls.problem(answer)
            again = answer.status in BUSY or (answer.status in PROXY and call.repeatable)
        else:
            assert answer is not None
            trouble = FarmUnavailable(answer.why)
            again = call.repeatable or not answer.sent
        wait = max(delay, trouble.retry_after or 0.0)
        if not again or monotonic() - started + wait > patience.give_up_s:
            raise trouble
        yield Pause(wait)
    raise AssertionError("delays() has no end")


def until_ended(job: str, patience: Patience, timeout_s: float | None) -> Flow[JobView]:
    """Long polls until the job has ended, well or not. Raises TimeoutError after `timeout_s` seconds."""
    ends = None if timeout_s is None else monotonic() + timeout_s
    while True:
        left = HELD_S if ends is None else min(HELD_S, ends - monotonic())
        asked = monotonic()
        view = yield from run(calls.get(job, max(0.0, round(left, 3))), patience)
        if view.state.ended:
            return view
        if ends is not None and monotonic() >= ends:
            raise TimeoutError(f"Job {job} is still {view.state} after {timeout_s:g} s; it goes on without you.")
        if monotonic() - asked < 0.2:  # a gateway that does not hold requests is not to be hammered
            yield Pause(0.2)


def until_batch_ended(batch: str, patience: Patience, timeout_s: float | None) -> Flow[BatchView]:
    """Long polls until the batch has ended, well or not. Raises TimeoutError after `timeout_s` seconds."""
    ends = None if timeout_s is None else monotonic() + timeout_s
    while True:
        left = HELD_S if ends is None else min(HELD_S, ends - monotonic())
        asked = monotonic()
        view = yield from run(batch_calls.view(batch, max(0.0, round(left, 3))), patience)
        if view.state.ended:
            return view
        if ends is not None and monotonic() >= ends:
            raise TimeoutError(f"Batch {batch} is still {view.state} after {timeout_s:g} s; it goes on without you.")
        if monotonic() - asked < 0.2:
            yield Pause(0.2)


def result(job: str, form: str, patience: Patience, timeout_s: float | None) -> Flow[bytes]:
    """The result's bytes in that format, as soon as it is there. Raises the job's own error where it failed."""
    started = monotonic()
    view = yield from until_ended(job, patience, timeout_s)
    if view.state in (JobState.FAILED, JobState.CANCELLED):
        raise _why_not(view)
    delays = patience.delays()
    while True:
        body = yield from run(calls.result(job, form), patience)
        if isinstance(body, bytes):
            return body
        if timeout_s is not None and monotonic() - started > timeout_s:
            raise TimeoutError(f"The {form} of job {job} was not made within {timeout_s:g} s.")
        yield Pause(max(body, next(delays)))


def _why_not(view: JobView) -> OcrFarmError:
    return (
        from_failure(view.error) if view.error else NotSucceeded(f"Job {view.id} was {view.state}; it has no result.")
    )


def dead_letters(patience: Patience) -> Flow[list[DeadLetter]]:
    """All of them, newest first."""
    found, cursor = yield from run(calls.dead_letters(), patience)
    while cursor:
        more, cursor = yield from run(calls.dead_letters(cursor), patience)
        found = found + more
    return found


def document(job: str, patience: Patience, timeout_s: float | None) -> Flow[Document]:
    body = yield from result(job, "json", patience, timeout_s)
    return calls.document(body)


@dataclass
class PageFollower:
    """Hands out each page of a job once, as soon as it is read; pages of one answer in page order."""

    job: str
    patience: Patience
    handed: set[int]
    whole_to: int = 0
    """Every page up to this number was handed out, so that it need not be asked for again."""
    state: JobState | None = None

    def more(self) -> Flow[list[Page]]:
        """The next pages, at least one; an empty list when there are no more. Raises the job's error where it failed."""
        delays = Patience(0.1, 1.0).delays()
        while self.state is None or not self.state.ended:
            found: PageList = yield from run(calls.pages(self.job, self.whole_to), self.patience)
            fresh = [page for page in found.pages if page.number not in self.handed]
            self.state = found.state
            self.handed.update(page.number for page in fresh)
            while self.whole_to + 1 in self.handed:
                self.whole_to += 1
            if fresh:
                return sorted(fresh, key=lambda page: page.number)
            if not self.state.ended:
                yield Pause(next(delays))
        if self.state in (JobState.FAILED, JobState.CANCELLED):
            raise _why_not((yield from run(calls.get(self.job), self.patience)))
        return []
