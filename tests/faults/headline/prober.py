"""Asks a gateway the same question every 50 ms, each time on a new connection, and notes what it was answered and when."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType

EVERY_S = 0.05
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """`asked`, `told`: seconds on the monotonic clock. `status` 0: no answer, for the reason in `error`."""

    asked: float
    told: float
    status: int
    error: str = ""


@dataclass
class Prober:
    """`with Prober(port, "/livez") as probe:` asks until the block ends; then the questions under way are waited for."""

    port: int
    path: str
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Prober:
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._work()), name=f"prober {self.path}", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT_S + 5)

    async def _work(self) -> None:
        due, asked = time.monotonic(), set()
        while not self._stop.is_set():
            asked.add(asyncio.create_task(self._ask()))
            due += EVERY_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*asked)

    async def _ask(self) -> None:
        begun, status, error = time.monotonic(), 0, ""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._get()
        except (OSError, TimeoutError, ValueError) as err:
            error = repr(err)
        self.answers.append(Answer(begun, time.monotonic(), status, error))

    async def _get(self) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            if not answer.startswith(b"HTTP/1.1 "):
                raise ValueError(f"hung up without an answer: {answer[:80]!r}")
            return int(answer[9:12])
        finally:
            writer.close()

    # ------------------------------------------------------------------ what it found
    def statuses(self) -> dict[int, int]:
        """0: errors."""
        return dict(sorted(Counter(answer.status for answer in self.answers).items()))

    def errors(self) -> list[str]:
        return [answer.error for answer in self.answers if answer.status == 0]

    def longest_gap_s(self, status: int = 200) -> float:
        """The longest time between two answers with that status."""
        told = sorted(answer.told for answer in self.answers if answer.status == status)
        return max((b - a for a, b in pairwise(told)), default=float("inf"))

    def slowest_s(self) -> float:
        return max(answer.told - answer.asked for answer in self.answers)
