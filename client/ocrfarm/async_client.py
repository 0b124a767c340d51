"""The asyncio client: the blocking one's calls and flows, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self, TypeVar, Unpack

import httpx

from ocrfarm import calls, flows, transport
from ocrfarm.async_batches import AsyncBatches
from ocrfarm.calls import Choices, Source
from ocrfarm.flows import Flow, Patience, Pause
from ocrfarm_shared.contracts import DeadLetter, Document, FarmView, JobState, JobView, Page, ProfileView

T = TypeVar("T")


class AsyncJob:
    """A job of the farm. `view` is what was last heard of it; every method asks the farm."""

    def __init__(self, client: AsyncClient, view: JobView) -> None:
        self._client = client
        self.view = view

    def __repr__(self) -> str:
        return f"<AsyncJob {self.id} {self.view.state}>"

    @property
    def id(self) -> str:
        return self.view.id

    async def refresh(self) -> JobView:
        self.view = await self._client.view(self.id)
        return self.view

    async def wait(self, timeout_s: float | None = None) -> JobView:
        """Until it has ended, well or not. Raises TimeoutError after `timeout_s` seconds; the job goes on."""
        self.view = await self._client.wait(self.id, timeout_s)
        return self.view

    async def result(self, timeout_s: float | None = None) -> Document:
        """The document, waited for. Raises the OcrFarmError that the job failed with, or TimeoutError."""
        return await self._client.result(self.id, timeout_s)

    async def text(self, timeout_s: float | None = None) -> str:
        """The text, waited for; a form feed between pages."""
        return await self._client.text(self.id, timeout_s)

    def pages(self) -> AsyncIterator[Page]:
        """Each page as soon as it is read, while the rest still runs. A page that could not be read has `error` set."""
        return self._client.pages(self.id)

    async def cancel(self) -> None:
        await self._client.cancel(self.id)

    async def retry(self) -> JobView:
        """Read the same document again."""
        self.view = (await self._client.retry(self.id)).view
        return self.view

    async def delete(self) -> None:
        """Remove the job, its document and its result."""
        await self._client.delete(self.id)


class AsyncClient:
    """Speaks to one farm. Close it, or use it in an `async with` statement.

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
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._address = transport.Address.of(url, api_key)
        self._patience = Patience(give_up_s=retry_for_s)
        self._http = httpx.AsyncClient(**self._address.options(), transport=http_transport)

    @property
    def url(self) -> str:
        return self._address.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    # ------------------------------------------------------------------------------------------------ jobs
    async def submit(self, source: Source, *, filename: str | None = None, **choices: Unpack[Choices]) -> AsyncJob:
        """Send a path, bytes or an open binary file. Returns as soon as the farm has accepted it.

        Raises TooLarge, UnsupportedType, EmptyFile, BadOption, UnknownProfile, OverQuota, FarmFull, FarmUnavailable.
        """
        call = calls.submit(calls.as_upload(source, filename), choices)
        return AsyncJob(self, await self._run(flows.run(call, self._patience)))

    async def job(self, job: str) -> AsyncJob:
        """Raises NotFound for an id that never was or whose record has expired."""
        return AsyncJob(self, await self.view(job))

    async def view(self, job: str) -> JobView:
        return await self._run(flows.run(calls.get(job), self._patience))

    async def wait(self, job: str, timeout_s: float | None = None) -> JobView:
        return await self._run(flows.until_ended(job, self._patience, timeout_s))

    async def result(self, job: str, timeout_s: float | None = None) -> Document:
        return await self._run(flows.document(job, self._patience, timeout_s))

    async def text(self, job: str, timeout_s: float | None = None) -> str:
        return (await self.result_as(job, "txt", timeout_s)).decode("utf8")

    async def result_as(self, job: str, form: str, timeout_s: float | None = None) -> bytes:
        """The result as the gateway writes it: `json`, `txt`, and whatever else its /docs list."""
        return await self._run(flows.result(job, form, self._patience, timeout_s))

    async def pages(self, job: str) -> AsyncIterator[Page]:
        follower = flows.PageFollower(job, self._patience, set())
        while found := await self._run(follower.more()):
            for page in found:
                yield page

    async def list(self, *, state: JobState | str | None = None, tag: str | None = None) -> AsyncIterator[JobView]:
        """Jobs, newest first, fetched as they are iterated over."""
        cursor: str | None = None
        while True:
            listed = await self._run(flows.run(calls.jobs(state, tag, cursor), self._patience))
            for job in listed.jobs:
                yield job
            cursor = listed.cursor
            if not cursor:
                return

    async def cancel(self, job: str) -> None:
        """Raises AlreadyEnded where nothing is left to cancel."""
        await self._run(flows.run(calls.cancel(job), self._patience))

    async def retry(self, job: str) -> AsyncJob:
        return AsyncJob(self, await self._run(flows.run(calls.retry(job), self._patience)))

    async def delete(self, job: str) -> None:
        await self._run(flows.run(calls.delete(job), self._patience))

    @property
    def batches(self) -> AsyncBatches:
        """Many documents sent and followed as one thing."""
        return AsyncBatches(self._run, self._patience, self._http, self._address)

    # ------------------------------------------------------------------------------------------------ dead letters
    async def dead_letters(self) -> Sequence[DeadLetter]:
        return await self._run(flows.dead_letters(self._patience))

    async def dead_letter(self, job: str) -> DeadLetter:
        return await self._run(flows.run(calls.dead_letter(job), self._patience))

    async def replay(self, job: str) -> AsyncJob:
        return AsyncJob(self, await self._run(flows.run(calls.replay(job), self._patience)))

    # ------------------------------------------------------------------------------------------------ the farm
    async def farm(self) -> FarmView:
        return await self._run(flows.run(calls.farm(), self._patience))

    async def profiles(self) -> Sequence[ProfileView]:
        return await self._run(flows.run(calls.profiles(), self._patience))

    # ------------------------------------------------------------------------------------------------ the driver
    async def _run(self, flow: Flow[T]) -> T:
        answer: calls.Reply | flows.Broken | None = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as end:
                value: T = end.value
                return value
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                answer = None
            else:
                answer = await self._exchange(step.call)

    async def _exchange(self, call: calls.Call[Any]) -> calls.Reply | flows.Broken:
        with call.bodies() as bodies:
            try:
                return transport.reply(await self._http.request(**transport.request(call, bodies)))
            except httpx.TransportError as err:
                return self._address.broken(err)
