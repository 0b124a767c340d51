"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Self, TypeVar, Unpack

import httpx

from ocrfarm import calls, flows, transport
from ocrfarm.batches import Batches
from ocrfarm.calls import Choices, Source
from ocrfarm.flows import Flow, Patience, Pause
from ocrfarm.key_calls import Keys
from ocrfarm.node_calls import Nodes
from ocrfarm_shared.contracts import DeadLetter, Document, FarmView, JobState, JobView, Page, ProfileView

T = TypeVar("T")


class Job:
    """A job of the farm. `view` is what was last heard of it; every method asks the farm."""

    def __init__(self, client: Client, view: JobView) -> None:
        self._client = client
        self.view = view

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.view.state}>"

    @property
    def id(self) -> str:
        return self.view.id

    def refresh(self) -> JobView:
        self.view = self._client.view(self.id)
        return self.view

    def wait(self, timeout_s: float | None = None) -> JobView:
        """Until it has ended, well or not. Raises TimeoutError after `timeout_s` seconds; the job goes on."""
        self.view = self._client.wait(self.id, timeout_s)
        return self.view

    def result(self, timeout_s: float | None = None) -> Document:
        """The document, waited for. Raises the OcrFarmError that the job failed with, or TimeoutError."""
        return self._client.result(self.id, timeout_s)

    def text(self, timeout_s: float | None = None) -> str:
        """The text, waited for; a form feed between pages."""
        return self._client.text(self.id, timeout_s)

    def pages(self) -> Iterator[Page]:
        """Each page as soon as it is read, while the rest still runs. A page that could not be read has `error` set."""
        return self._client.pages(self.id)

    def cancel(self) -> None:
        self._client.cancel(self.id)

    def retry(self) -> JobView:
        """Read the same document again."""
        self.view = self._client.retry(self.id).view
        return self.view

    def delete(self) -> None:
        """Remove the job, its document and its result."""
        self._client.delete(self.id)


class Client:
    """Speaks to one farm. Safe to share between threads; close it, or use it in a `with` statement.

    `url` and `api_key` default to OCRFARM_URL and OCRFARM_API_KEY, else the farm on this machine. A farm that is busy (429, 503) or
    away is asked again for `retry_for_s` seconds. Every method raises OcrFarmError: its class tells the kind, its `code` is stable, its
    text says what to do.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        retry_for_s: float = 60.0,
        http_transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._address = transport.Address.of(url, api_key)
        self._patience = Patience(give_up_s=retry_for_s)
        self._http = httpx.Client(**self._address.options(), transport=http_transport)

    @property
    def url(self) -> str:
        return self._address.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # ------------------------------------------------------------------------------------------------ jobs
    def submit(self, source: Source, *, filename: str | None = None, **choices: Unpack[Choices]) -> Job:
        """Send a path, bytes or an open binary file. Returns as soon as the farm has accepted it.

        Raises TooLarge, UnsupportedType, EmptyFile, BadOption, UnknownProfile, OverQuota, FarmFull, FarmUnavailable.
        """
        call = calls.submit(calls.as_upload(source, filename), choices)
        return Job(self, self._run(flows.run(call, self._patience)))

    def job(self, job: str) -> Job:
        """Raises NotFound for an id that never was or whose record has expired."""
        return Job(self, self.view(job))

    def view(self, job: str) -> JobView:
        return self._run(flows.run(calls.get(job), self._patience))

    def wait(self, job: str, timeout_s: float | None = None) -> JobView:
        return self._run(flows.until_ended(job, self._patience, timeout_s))

    def result(self, job: str, timeout_s: float | None = None) -> Document:
        return self._run(flows.document(job, self._patience, timeout_s))

    def text(self, job: str, timeout_s: float | None = None) -> str:
        return self.result_as(job, "txt", timeout_s).decode("utf8")

    def result_as(self, job: str, form: str, timeout_s: float | None = None) -> bytes:
        """The result as the gateway writes it: `json`, `txt`, and whatever else its /docs list."""
        return self._run(flows.result(job, form, self._patience, timeout_s))

    def pages(self, job: str) -> Iterator[Page]:
        follower = flows.PageFollower(job, self._patience, set())
        while found := self._run(follower.more()):
            yield from found

    def list(self, *, state: JobState | str | None = None, tag: str | None = None) -> Iterator[JobView]:
        """Jobs, newest first, fetched as they are iterated over."""
        cursor: str | None = None
        while True:
            listed = self._run(flows.run(calls.jobs(state, tag, cursor), self._patience))
            yield from listed.jobs
            cursor = listed.cursor
            if not cursor:
                return

    def cancel(self, job: str) -> None:
        """Raises AlreadyEnded where nothing is left to cancel."""
        self._run(flows.run(calls.cancel(job), self._patience))

    def retry(self, job: str) -> Job:
        return Job(self, self._run(flows.run(calls.retry(job), self._patience)))

    def delete(self, job: str) -> None:
        self._run(flows.run(calls.delete(job), self._patience))

    @property
    def batches(self) -> Batches:
        """Many documents sent and followed as one thing."""
        return Batches(self._run, self._patience, self._http, self._address)

    # ------------------------------------------------------------------------------------------------ dead letters
    def dead_letters(self) -> Sequence[DeadLetter]:
        """Jobs that failed for good through no fault of the document, newest first; their attempts without log lines."""
        return self._run(flows.dead_letters(self._patience))

    def dead_letter(self, job: str) -> DeadLetter:
        """With the last log lines of every attempt. Raises NotFound."""
        return self._run(flows.run(calls.dead_letter(job), self._patience))

    def replay(self, job: str) -> Job:
        """Read a dead letter's document again, as a new job. Raises NotFound, Expired."""
        return Job(self, self._run(flows.run(calls.replay(job), self._patience)))

    # ------------------------------------------------------------------------------------------------ the farm
    def farm(self) -> FarmView:
        return self._run(flows.run(calls.farm(), self._patience))

    def profiles(self) -> Sequence[ProfileView]:
        return self._run(flows.run(calls.profiles(), self._patience))

    @property
    def keys(self) -> Keys:
        """The farm's API keys."""
        return Keys(lambda call: self._run(flows.run(call, self._patience)))

    @property
    def nodes(self) -> Nodes:
        """The farm's worker nodes."""
        return Nodes(lambda call: self._run(flows.run(call, self._patience)))

    # ------------------------------------------------------------------------------------------------ the driver
    def _run(self, flow: Flow[T]) -> T:
        answer: calls.Reply | flows.Broken | None = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as end:
                value: T = end.value
                return value
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                answer = None
            else:
                answer = self._exchange(step.call)

    def _exchange(self, call: calls.Call[Any]) -> calls.Reply | flows.Broken:
        with call.bodies() as bodies:
            try:
                return transport.reply(self._http.request(**transport.request(call, bodies)))
            except httpx.TransportError as err:
                return self._address.broken(err)
