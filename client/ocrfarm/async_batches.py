"""Batches, for the asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Unpack
from uuid import uuid4

import httpx

from ocrfarm import batch_calls, calls, flows, transport
from ocrfarm.batch_calls import Order
from ocrfarm.batches import MOST_AT_ONCE
from ocrfarm.calls import Choices, Named, Source
from ocrfarm.flows import Patience
from ocrfarm_shared.batches import BatchItem, BatchView

Run = Callable[[Any], Awaitable[Any]]


class AsyncBatch:
    """A batch of the farm. `view` is what was last heard of it; every method asks the farm."""

    def __init__(self, batches: AsyncBatches, view: BatchView) -> None:
        self._batches = batches
        self.view = view

    def __repr__(self) -> str:
        return f"<AsyncBatch {self.id} {self.view.state}>"

    @property
    def id(self) -> str:
        return self.view.id

    async def add(self, *sources: Source, keys: list[str] | None = None) -> list[BatchItem]:
        """Send documents, or zips of documents. A file that cannot be read is an item with an `error`.

        `keys`: what they are called, one for each: the same key again adds nothing. Raises BatchClosed, BatchFull, OverQuota, FarmFull.
        """
        named = keys or [uuid4().hex for _ in sources]
        sent = [Named(key, calls.as_upload(source)) for key, source in zip(named, sources, strict=True)]
        items: list[BatchItem] = []
        for at in range(0, len(sent), MOST_AT_ONCE):
            receipt = await self._batches.run(batch_calls.add(self.id, sent[at : at + MOST_AT_ONCE]))
            items += receipt.items
            self.view = receipt
        return items

    async def close(self) -> BatchView:
        """No more files come; the batch ends with its last job."""
        self.view = await self._batches.run(batch_calls.close(self.id))
        return self.view

    async def refresh(self) -> BatchView:
        self.view = await self._batches.run(batch_calls.view(self.id))
        return self.view

    async def wait(self, timeout_s: float | None = None) -> BatchView:
        """Until it has ended, well or not; close it first. Raises TimeoutError after `timeout_s` seconds; the batch goes on."""
        self.view = await self._batches.drive(flows.until_batch_ended(self.id, self._batches.patience, timeout_s))
        return self.view

    async def items(self, order: Order = "number") -> AsyncIterator[BatchItem]:
        """By number; as they end (waiting for those to come, until the batch has ended); or those that did not succeed whole."""
        cursor: str | None = "0"
        while cursor is not None:
            listed = await self._batches.run(
                batch_calls.items(self.id, order, cursor, flows.HELD_S if order == "ended" else 0)
            )
            for item in listed.items:
                yield item
            cursor = listed.cursor

    async def save(self, path: str | Path, form: str = "jsonl", document: str = "txt") -> None:
        """Write the results of all that has ended to a file, as they come: `jsonl`, `csv`, or `zip` with a file for each document in the
        format `document`. Raises FarmUnavailable where the stream breaks off."""
        where, params = batch_calls.results(self.id, form, document)
        await self._batches.download(where, params, Path(path))

    async def cancel(self) -> BatchView:
        """Raises AlreadyEnded."""
        self.view = await self._batches.run(batch_calls.cancel(self.id))
        return self.view

    async def delete(self) -> None:
        """Remove the batch with all its jobs, documents and results."""
        await self._batches.run(batch_calls.delete(self.id))


class AsyncBatches:
    """`AsyncClient.batches`."""

    def __init__(self, drive: Run, patience: Patience, http: httpx.AsyncClient, address: transport.Address) -> None:
        self.drive = drive
        self.patience = patience
        self._http = http
        self._address = address

    async def run(self, call: calls.Call[Any]) -> Any:
        return await self.drive(flows.run(call, self.patience))

    async def open(self, **choices: Unpack[Choices]) -> AsyncBatch:
        """An empty batch; the choices hold for each of its jobs, and its priority is `bulk` where nothing is said."""
        return AsyncBatch(self, await self.run(batch_calls.open_batch(choices)))

    async def get(self, batch: str) -> AsyncBatch:
        """Raises NotFound."""
        return AsyncBatch(self, await self.run(batch_calls.view(batch)))

    async def list(self) -> AsyncIterator[BatchView]:
        """Batches, newest first, fetched as they are iterated over."""
        cursor: str | None = None
        while True:
            listed = await self.run(batch_calls.batches(cursor))
            for view in listed.batches:
                yield view
            cursor = listed.cursor
            if not cursor:
                return

    async def download(self, where: str, params: dict[str, str], path: Path) -> None:
        partial = path.with_name(f".{path.name}.part")
        try:
            async with self._http.stream("GET", where, params=params) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise calls.problem(transport.reply(answer))
                with await asyncio.to_thread(partial.open, "wb") as out:
                    async for piece in answer.aiter_bytes():
                        await asyncio.to_thread(out.write, piece)
        except httpx.TransportError as err:
            raise self._address.lost(err) from err
        await asyncio.to_thread(partial.replace, path)
