"""From a request's body to items of a batch: many files or zips of files, taken one after the other while the body still comes in.

A file that cannot become a job is an item with an error. What is the farm's trouble or the tenant's quota ends the request; what was taken
until then is taken, and the same files sent again under the same keys are not taken twice.

Several files are stored at a time, because each waits for the disk; they are recorded in the order in which they came.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ocrfarm_api.admission import admit, limits_of, refused
from ocrfarm_api.callers import Caller
from ocrfarm_api.deps import Farm
from ocrfarm_api.intake import Received
from ocrfarm_api.kinds import kind_of
from ocrfarm_api.many_files import ManyFiles, Part
from ocrfarm_api.spool import Spool
from ocrfarm_api.submit import NO_BATCH, add
from ocrfarm_api.zip_file import Budget, Entry, Unpacked, ZipFile, is_zip
from ocrfarm_shared.batches import BatchItem
from ocrfarm_shared.contracts import JobState
from ocrfarm_shared.errors import (
    BatchClosed,
    BatchFull,
    DocumentError,
    EmptyFile,
    IdempotencyConflict,
    NotFound,
    OcrFarmError,
    TooLarge,
    UnsupportedType,
)
from ocrfarm_shared.fingerprint import request_print
from ocrfarm_shared.ledger import batch_calls
from ocrfarm_shared.ledger.batch_calls import BatchRecord, item_of
from ocrfarm_shared.ledger.place import Place

T = TypeVar("T")

AT_ONCE = 8  # files of one request that are stored at a time
MOST_TOLD = 1000  # items that the answer lists
OF_THE_FILE = (DocumentError, TooLarge, UnsupportedType)  # errors that are an item's own

_REFUSALS: dict[str, type[OcrFarmError]] = {
    "no_batch": NotFound,
    "closed": BatchClosed,
    "batch_full": BatchFull,
    "conflict": IdempotencyConflict,
}


class _Stopped(Exception):
    """An item before this one met what ends the request."""


@dataclass
class Taking:
    """One request's files on their way into a batch. `prefix`: its Idempotency-Key, from which files without a key get theirs."""

    farm: Farm
    caller: Caller
    batch: BatchRecord
    prefix: str | None
    items: list[BatchItem] = field(default_factory=list)
    taken: int = 0

    def __post_init__(self) -> None:
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._last.set_result(True)
        self._trouble: BaseException | None = None

    # ------------------------------------------------------------------ what came
    async def part(self, part: Part) -> None:
        """A whole part. Raises what ended the request."""
        key = part.key or (f"{self.prefix}:{part.index}" if self.prefix else None)
        name = part.filename
        if part.trouble is None and is_zip(part.spool.head):
            try:
                await part.spool.close()
                await self._zip(part.spool.path, name, key)
            finally:
                await part.spool.discard()
            return
        await self._start(lambda turn: self._document(part, key, turn), part.spool.discard)

    async def finish(self) -> None:
        """Everything was given. Raises what ended the request."""
        await self._drain()
        self._check()

    async def leave(self) -> None:
        """Let what is under way come to its end; no temporary file stays."""
        await self._drain()

    # ------------------------------------------------------------------ one document
    async def _document(self, part: Part, key: str | None, turn: Callable[[], Awaitable[None]]) -> None:
        try:
            try:
                if part.trouble is not None:
                    raise part.trouble
                if part.spool.size == 0:
                    raise EmptyFile
                kind = kind_of(part.spool.head)
                content = await part.spool.close()
                received = Received(part.spool.path, content, part.spool.size, kind, part.filename, {})
                await self._take(received, key, turn)
            except OF_THE_FILE as err:
                await self._refuse(part.filename, err, key, turn, part.spool.size)
        finally:
            await part.spool.discard()

    async def _take(self, received: Received, key: str | None, turn: Callable[[], Awaitable[None]]) -> None:
        await admit(self.farm, self.caller, 0, perhaps_repeated=bool(key))
        name = received.filename and received.filename[:255]
        submission = self.batch.submission.model_copy(update={"filename": name})
        named = request_print(received.content, submission.ocr) if key else ""
        answer = await add(self.farm, self.caller, received, submission, self._place(key, named), turn)
        if answer.record is not None:
            self._tell(item_of(answer.record))
        else:
            self._tell(BatchItem(number=int(answer.job_id), filename=name, key=key))

    async def _refuse(
        self,
        name: str | None,
        error: OcrFarmError,
        key: str | None,
        turn: Callable[[], Awaitable[None]],
        size: int = 0,
    ) -> None:
        if isinstance(error, BatchFull):
            raise error
        await admit(self.farm, self.caller, 0, perhaps_repeated=bool(key))  # its record takes Redis' memory, too
        await turn()
        shown = name and name[:255]
        limits = limits_of(self.farm, self.caller)
        call = batch_calls.refuse(
            tenant=self.caller.tenant,
            limits=limits,
            upload_bytes=size,
            place=self._place(key, f"refused:{error.code}"),
            filename=shown,
            failure=error.failure(),
        )
        done = await self.farm.ledger(call)
        if done.refusal is not None:
            self.farm.let_in.forget(self.caller.tenant)
            raise refused(done.refusal, limits)
        if done.outcome in _REFUSALS:
            raise _REFUSALS[done.outcome](NO_BATCH if done.outcome == "no_batch" else None)
        failed = BatchItem(number=done.number, filename=shown, key=key, state=JobState.FAILED, error=error.failure())
        self._tell(failed)

    def _place(self, key: str | None, named: str) -> Place:
        kept = hashlib.sha256(key.encode("utf8", "replace")).hexdigest() if key and len(key) > 255 else key
        return Place(self.batch.id, self.farm.settings.max_batch_items, kept, named)

    def _tell(self, item: BatchItem) -> None:
        self.taken += 1
        if len(self.items) < MOST_TOLD:
            self.items.append(item)

    # ------------------------------------------------------------------ a zip
    async def _zip(self, path: Path, name: str | None, key: str | None) -> None:
        settings = self.farm.settings
        try:
            archive = await self._thread(lambda: ZipFile(path, most=settings.max_batch_items))
        except OF_THE_FILE as err:
            refusal = err
            await self._start(lambda turn: self._refuse(name, refusal, key, turn))
            return
        budget = Budget(int(settings.max_zip_ratio * archive.size) + settings.max_upload_bytes)
        entries = archive.entries()
        try:
            while entry := await self._thread(lambda: next((one for one in entries if one.wanted), None)):
                await self._start(self._entry_taker(archive, entry, budget, key))
        finally:
            await self._drain()  # the zip is open as long as one of them reads it
            archive.close()

    def _entry_taker(
        self, archive: ZipFile, entry: Entry, budget: Budget, key: str | None
    ) -> Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]:
        named = f"{key}:{entry.index}" if key else None
        target = self.farm.blobs.incoming / secrets.token_hex(16)
        limit, least_free = self.farm.settings.max_upload_bytes, self.farm.settings.min_free_disk_bytes

        def unpack() -> Unpacked:
            return archive.unpack(entry, target, limit=limit, budget=budget, least_free=least_free)

        async def take(turn: Callable[[], Awaitable[None]]) -> None:
            try:
                try:
                    got = await self._thread(unpack)
                    received = Received(got.path, got.content, got.size, got.kind, entry.name, {})
                    await self._take(received, named, turn)
                except OF_THE_FILE as err:
                    await self._refuse(entry.name, err, named, turn)
            finally:
                if target.exists():
                    await self._thread(lambda: target.unlink(missing_ok=True))

        return take

    async def _thread(self, work: Callable[[], T]) -> T:
        """Shielded: a file must not be closed or removed while a thread still works on it."""
        done = asyncio.get_running_loop().run_in_executor(self.farm.threads, work)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])
            raise

    # ------------------------------------------------------------------ several at a time, in order
    async def _start(
        self,
        work: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
        unwanted: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Begin with an item once there is room; `unwanted` is done instead where the request has met its end."""
        await self._gate.acquire()
        if self._trouble is not None:
            self._gate.release()
            if unwanted is not None:
                await unwanted()
            self._check()
        before, mine = self._last, asyncio.get_running_loop().create_future()
        self._last = mine

        async def turn() -> None:
            if not await asyncio.shield(before):
                raise _Stopped

        async def run() -> None:
            went_well = False
            try:
                await work(turn)
                went_well = True
            except _Stopped:
                pass
            except BaseException as err:
                if self._trouble is None:
                    self._trouble = err
            finally:
                # An item that was recorded had its turn; one that failed before must not let the next overtake a failure before it.
                before_went_well = before.result() if before.done() else await asyncio.shield(before)
                mine.set_result(went_well and before_went_well)
                self._gate.release()

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _check(self) -> None:
        if self._trouble is not None:
            raise self._trouble


async def take_form(
    body: AsyncIterator[bytes],
    form: ManyFiles,
    open_batch: Callable[[], Awaitable[Taking]],
) -> Taking:
    """Read a form to its end. `open_batch` is called once, when all options are there. Raises what ends the request."""
    taking: Taking | None = None
    try:
        async for piece in body:
            form.feed(piece)
            if form.current is not None:
                await form.current.spool.flush()
            if form.begun and taking is None:
                taking = await open_batch()
            while form.ready and taking is not None:
                await taking.part(form.ready.popleft())
        form.check_ended()
        taking = taking or await open_batch()
        await taking.finish()
        return taking
    finally:
        if taking is not None:
            await taking.leave()
        for part in (*form.ready, *([form.current] if form.current else [])):
            await part.spool.discard()


async def take_raw(body: AsyncIterator[bytes], part: Part, limit: int, taking: Taking) -> None:
    """Read one file that is the whole body."""
    try:
        async for piece in body:
            part.feed(piece, limit)
            await part.spool.flush()
        await taking.part(part)
        await taking.finish()
    finally:
        await taking.leave()
        await part.spool.discard()


async def drain(body: AsyncIterator[bytes], most: int, seconds: float) -> None:
    """Read what is left of a body that was refused, so that its sender, who is still sending, comes to read the answer."""
    came = 0
    with suppress(TimeoutError, Exception):
        async with asyncio.timeout(seconds):
            async for piece in body:
                came += len(piece)
                if came > most:
                    return


def new_spool(farm: Farm) -> Spool:
    limit = int(farm.settings.max_batch_upload_mb * 1_000_000)
    return Spool(farm.blobs.incoming, farm.threads, limit, farm.settings.min_free_disk_bytes)
