"""The work of `ocrfarm batch`: finding, sending and fetching at the same time, each step noted in the manifest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from ocrfarm import batch_calls, calls, flows
from ocrfarm.async_client import AsyncClient
from ocrfarm.calls import Named
from ocrfarm.cli.folders import Found, Order, content_of, walk
from ocrfarm.cli.manifest import Manifest, Row
from ocrfarm_shared.batches import BatchItem
from ocrfarm_shared.contracts import Failure, JobState
from ocrfarm_shared.errors import BatchClosed, BatchFull, Expired, NotFound, OcrFarmError

GROUP_FILES, GROUP_BYTES = 32, 4_000_000  # of one request
WALKED = 200  # paths that are looked at in one go


class Work:
    """One run of the command. `all` ends when every file of the folder has its result or its error."""

    def __init__(
        self, order: Order, manifest: Manifest, farm: AsyncClient, draw: Callable[[int, int | None], None]
    ) -> None:
        self._order, self._manifest, self._farm, self._show = order, manifest, farm, draw
        self._queue: asyncio.Queue[Row | None] = asyncio.Queue(4 * GROUP_FILES)
        self._opening = asyncio.Lock()
        self._fetching = asyncio.Semaphore(order.concurrency)
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._closed: set[str] = set()
        self._found = False

    async def all(self) -> None:
        await self._catch_up()
        async with asyncio.TaskGroup() as group:
            self._group = group
            for batch in self._manifest.batches_under_way():
                self._follow(batch)
            senders = [group.create_task(self._send()) for _ in range(max(1, self._order.concurrency // 4))]
            await self._find()
            for _ in senders:
                await self._queue.put(None)
            await asyncio.gather(*senders)
            if self._manifest.batch:
                await self._close(self._manifest.batch)
            self._found = True
            self._draw()
        self._draw()

    # ------------------------------------------------------------------ finding
    async def _catch_up(self) -> None:
        """After a cut: which files did the farm take whose answer was not heard? And does it still know what was sent?"""
        for batch in self._manifest.batches_under_way():
            try:
                await self._farm.batches.get(batch)
            except NotFound:
                self._manifest.unknown(batch)
        current = self._manifest.batch
        if current is not None and self._manifest.unsure():
            await self._ask_what_it_has(current)

    async def _ask_what_it_has(self, batch: str) -> None:
        try:
            async for item in (await self._farm.batches.get(batch)).items():
                self._took(batch, item)
        except NotFound:
            self._manifest.unknown(batch)
        self._manifest.commit()

    async def _find(self) -> None:
        walked = walk(self._order.folder, self._order.out, self._order.pattern)
        while found := await asyncio.to_thread(lambda: list(islice(walked, WALKED))):
            for one in found:
                row = await self._look_at(one)
                if row is not None:
                    await self._queue.put(row)
            self._manifest.commit()
            self._draw()

    async def _fetched_again(self, row: Row) -> bool:
        try:
            body = await self._farm.result_as(row.job or "", self._order.format)
        except (NotFound, Expired):
            return False
        await asyncio.to_thread(_write, body, self._target(row))
        return True

    async def _look_at(self, found: Found) -> Row | None:
        """The file's row where it is to be sent; None where it was, or is done, or failed before."""
        row, manifest = self._manifest.row(found.path), self._manifest
        same = row is not None and (row.size, row.options) == (found.size, manifest.options)
        if row is not None and same and row.mtime == found.mtime:
            content = row.content
        elif found.size == 0:
            content = "empty"
        else:
            try:
                content = await asyncio.to_thread(content_of, self._order.folder / found.path)
            except OSError as err:
                row = manifest.add(found.path, found.size, found.mtime, "unread", 0)
                manifest.mark(row.key, "failed", code="file", message=err.strerror or str(err))
                return None
        if row is None or not same or row.content != content:
            row = manifest.add(found.path, found.size, found.mtime, content, 0)
        else:
            manifest.seen(found.path, found.mtime)
            again = row.state == "lost" or (row.state == "failed" and self._order.again)
            if row.state == "done" and not await asyncio.to_thread(self._target(row).exists):
                again = not await self._fetched_again(row)  # somebody removed the result, or wants another format
            if again:
                row = manifest.add(found.path, found.size, found.mtime, content, row.attempt + 1)
        if row.state != "new":
            return None
        if found.size == 0:
            manifest.mark(row.key, "failed", code="empty_file", message="The file is empty (0 bytes).")
            return None
        return row

    # ------------------------------------------------------------------ sending
    async def _send(self) -> None:
        over = False
        while not over:
            first = await self._queue.get()
            if first is None:
                return
            group, size = [first], first.size
            while len(group) < GROUP_FILES and size < GROUP_BYTES and not self._queue.empty():
                row = self._queue.get_nowait()
                if row is None:
                    over = True
                    break
                group.append(row)
                size += row.size
            await self._send_group(group)
            self._draw()

    async def _send_group(self, rows: list[Row]) -> None:
        self._manifest.commit()  # what is sent is noted before
        named: list[Named] = []
        for row in rows:
            path = self._order.folder / row.path
            try:
                named.append(Named(row.key, calls.as_upload(path, row.path)))
            except OcrFarmError as err:
                self._manifest.mark(row.key, "failed", code=err.code, message=str(err))
        while named:
            batch = await self._batch()
            try:
                receipt = await self._farm.batches.run(batch_calls.add(batch, named))
                break
            except (BatchClosed, BatchFull, NotFound):
                await self._renew(batch)
                rows = [row for row in rows if (now := self._manifest.by_key(row.key)) and now.state == "new"]
                named = [one for one in named if any(one.key == row.key for row in rows)]
            except OcrFarmError as err:
                if len(named) == 1:
                    self._manifest.mark(named[0].key, "failed", code=err.code, message=str(err))
                    self._manifest.commit()
                    return
                for one in rows:  # one of them is what the farm cannot take: it must not fail its neighbours
                    await self._send_group([one])
                return
        else:
            return
        for item in receipt.items:
            self._took(batch, item)
        self._manifest.commit()
        self._follow(batch)

    def _took(self, batch: str, item: BatchItem) -> None:
        row = self._manifest.by_key(item.key) if item.key else None
        if row is None or row.state != "new":
            return
        if item.job is None and item.error is not None:
            self._manifest.mark(row.key, "failed", batch=batch, code=item.error.code, message=item.error.message)
        else:
            self._manifest.mark(row.key, "sent", batch=batch, job=item.job)

    async def _batch(self) -> str:
        async with self._opening:
            if (batch := self._manifest.batch) is not None and batch not in self._closed:
                return batch
            key = self._manifest.next_batch_key()
            made = await self._farm.batches.open(**(self._order.choices | {"idempotency_key": key}))
            self._manifest.opened(made.id)
            return made.id

    async def _renew(self, batch: str) -> None:
        """That batch takes no more (it was closed after a pause, or is full): the next file opens another."""
        if batch not in self._closed:
            self._closed.add(batch)
            await self._close(batch)
        await self._ask_what_it_has(batch)  # an answer may have been lost before it was closed
        self._follow(batch)

    async def _close(self, batch: str) -> None:
        try:
            await self._farm.batches.run(batch_calls.close(batch))
        except NotFound:
            self._manifest.unknown(batch)

    # ------------------------------------------------------------------ fetching
    def _follow(self, batch: str) -> None:
        if batch not in self._followers:
            self._followers[batch] = self._group.create_task(self._fetch_all(batch))

    async def _fetch_all(self, batch: str) -> None:
        """Every result of a batch as it ends, to its place."""
        cursor: str | None = "0"
        while cursor is not None:
            try:
                listed = await self._farm.batches.run(batch_calls.items(batch, "ended", cursor, flows.HELD_S))
            except NotFound:
                self._manifest.unknown(batch)
                return
            async with asyncio.TaskGroup() as group:
                for item in listed.items:
                    row = self._manifest.by_key(item.key) if item.key else None
                    if row is not None and row.state in ("new", "sent"):
                        await self._fetching.acquire()
                        group.create_task(self._fetch(batch, row, item))
            self._manifest.commit()
            self._draw()
            cursor = listed.cursor

    async def _fetch(self, batch: str, row: Row, item: BatchItem) -> None:
        try:
            error = item.error or Failure(code="failed", message=f"The job was {item.state}.")
            if item.state in (JobState.SUCCEEDED, JobState.PARTIAL) and item.job:
                body = await self._farm.result_as(item.job, self._order.format)
                await asyncio.to_thread(_write, body, self._target(row))
            if item.state is JobState.SUCCEEDED:
                self._manifest.mark(row.key, "done", batch=batch, job=item.job)
            elif item.state is None:
                self._manifest.mark(row.key, "lost", batch=batch)  # its record is gone: the next run sends it again
            else:
                self._manifest.mark(
                    row.key, "failed", batch=batch, job=item.job, code=error.code, message=error.message
                )
        except OcrFarmError as err:
            self._manifest.mark(row.key, "failed", batch=batch, job=item.job, code=err.code, message=str(err))
        except OSError as err:
            self._manifest.mark(
                row.key, "failed", batch=batch, job=item.job, code="file", message=f"{err.strerror}: {err.filename}"
            )
        finally:
            self._fetching.release()

    def _target(self, row: Row) -> Path:
        return self._order.out / f"{row.path}.{self._order.format}"

    def _draw(self) -> None:
        counts = self._manifest.counts()
        self._show(counts.get("done", 0) + counts.get("failed", 0), sum(counts.values()) if self._found else None)


def _write(body: bytes, target: Path) -> None:
    """Whole or not at all: a file that is there is a result."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    partial.write_bytes(body)
    partial.replace(target)
