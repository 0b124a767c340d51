"""Batches, for the blocking client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Unpack
from uuid import uuid4

import httpx

from ocrfarm import batch_calls, calls, flows, transport
from ocrfarm.batch_calls import Order
from ocrfarm.calls import Choices, Named, Source
from ocrfarm.flows import Patience
from ocrfarm_shared.batches import BatchItem, BatchView

Run = Callable[[Any], Any]
MOST_AT_ONCE = 100  # files of one request


class Batch:
    """A batch of the farm. `view` is what was last heard of it; every method asks the farm."""

    def __init__(self, batches: Batches, view: BatchView) -> None:
        self._batches = batches
        self.view = view

    def __repr__(self) -> str:
        return f"<Batch {self.id} {self.view.state}>"

    @property
    def id(self) -> str:
        return self.view.id

    def add(self, *sources: Source, keys: list[str] | None = None) -> list[BatchItem]:
        """Send documents, or zips of documents. A file that cannot be read is an item with an `error`.

        `keys`: what they are called, one for each: the same key again adds nothing. Raises BatchClosed, BatchFull, OverQuota, FarmFull.
        """
        named = keys or [uuid4().hex for _ in sources]
        sent = [Named(key, calls.as_upload(source)) for key, source in zip(named, sources, strict=True)]
        items: list[BatchItem] = []
        for at in range(0, len(sent), MOST_AT_ONCE):
            receipt = self._batches.run(batch_calls.add(self.id, sent[at : at + MOST_AT_ONCE]))
            items += receipt.items
            self.view = receipt
        return items

    def close(self) -> BatchView:
        """No more files come; the batch ends with its last job."""
        self.view = self._batches.run(batch_calls.close(self.id))
        return self.view

    def refresh(self) -> BatchView:
        self.view = self._batches.run(batch_calls.view(self.id))
        return self.view

    def wait(self, timeout_s: float | None = None) -> BatchView:
        """Until it has ended, well or not; close it first. Raises TimeoutError after `timeout_s` seconds; the batch goes on."""
        self.view = self._batches.drive(flows.until_batch_ended(self.id, self._batches.patience, timeout_s))
        return self.view

    def items(self, order: Order = "number") -> Iterator[BatchItem]:
        """By number; as they end (waiting for those to come, until the batch has ended); or those that did not succeed whole."""
        cursor: str | None = "0"
        while cursor is not None:
            listed = self._batches.run(
                batch_calls.items(self.id, order, cursor, flows.HELD_S if order == "ended" else 0)
            )
            yield from listed.items
            cursor = listed.cursor

    def save(self, path: str | Path, form: str = "jsonl", document: str = "txt") -> None:
        """Write the results of all that has ended to a file, as they come: `jsonl`, `csv`, or `zip` with a file for each document in the
        format `document`. Raises FarmUnavailable where the stream breaks off."""
        where, params = batch_calls.results(self.id, form, document)
        self._batches.download(where, params, Path(path))

    def cancel(self) -> BatchView:
        """Raises AlreadyEnded."""
        self.view = self._batches.run(batch_calls.cancel(self.id))
        return self.view

    def delete(self) -> None:
        """Remove the batch with all its jobs, documents and results."""
        self._batches.run(batch_calls.delete(self.id))


class Batches:
    """`Client.batches`."""

    def __init__(self, drive: Run, patience: Patience, http: httpx.Client, address: transport.Address) -> None:
        self.drive = drive
        self.patience = patience
        self._http = http
        self._address = address

    def run(self, call: calls.Call[Any]) -> Any:
        return self.drive(flows.run(call, self.patience))

    def open(self, **choices: Unpack[Choices]) -> Batch:
        """An empty batch; the choices hold for each of its jobs, and its priority is `bulk` where nothing is said."""
        return Batch(self, self.run(batch_calls.open_batch(choices)))

    def get(self, batch: str) -> Batch:
        """Raises NotFound."""
        return Batch(self, self.run(batch_calls.view(batch)))

    def list(self) -> Iterator[BatchView]:
        """Batches, newest first, fetched as they are iterated over."""
        cursor: str | None = None
        while True:
            listed = self.run(batch_calls.batches(cursor))
            yield from listed.batches
            cursor = listed.cursor
            if not cursor:
                return

    def download(self, where: str, params: dict[str, str], path: Path) -> None:
        partial = path.with_name(f".{path.name}.part")
        try:
            with self._http.stream("GET", where, params=params) as answer, partial.open("wb") as out:
                if answer.status_code >= 400:
                    answer.read()
                    raise calls.problem(transport.reply(answer))
                for piece in answer.iter_bytes():
                    out.write(piece)
        except httpx.TransportError as err:
            raise self._address.lost(err) from err
        partial.replace(path)
