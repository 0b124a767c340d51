"""Raw HTTP requests over kept connections, for benchmarks: a client library would cost as much as the gateway that is measured."""

from __future__ import annotations

import asyncio
import io
import json
import time
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont


@dataclass(frozen=True)
class Answer:
    """`status` 0: the connection broke; `error` says how."""

    status: int
    headers: dict[str, str]
    body: bytes
    error: str = ""

    def json(self) -> Any:
        return json.loads(self.body)


class Asker:
    """As many connections as there are requests under way; one that was used a moment ago is used again (the farm closes idle ones)."""

    FRESH_S = 5.0

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.port = port
        self.extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._free: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            since, reader, writer = self._free.pop()
            if time.monotonic() - since < self.FRESH_S:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "image/png") -> Answer:
        try:
            reader, writer = await self._connection()
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self.extra}Content-Length: {len(body)}\r\n"
            head += f"Content-Type: {kind}\r\n" if body else ""
            writer.write(head.encode() + b"\r\n" + body)
            await writer.drain()
            first, *rows = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
            headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows if row)}
            answer = Answer(int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"])))
            if headers.get("connection", "").lower() == "close":
                writer.close()
            else:
                self._free.append((time.monotonic(), reader, writer))
            return answer
        except (OSError, EOFError) as err:
            return Answer(0, {}, b"", repr(err))

    async def submit(self, page: bytes, *, wait: float = 0, **fields: str) -> Answer:
        """POST one PNG with its options in the query; `wait` as the interface has it."""
        asked = "&".join(f"{name}={value}" for name, value in fields.items())
        return await self.ask("POST", f"/v1/jobs?{asked}" + (f"&wait={wait:g}" if wait else ""), page)

    def close(self) -> None:
        for *_, writer in self._free:
            writer.close()
        self._free.clear()


SENTENCE = (
    "the keeper counted ships whales and lamps until the fog of February came over the reef and hid them all again"
)


def page(number: int, lines: int = 6) -> bytes:
    """A small page of text as a PNG (720 x 60 + 44 a line), different for each number."""
    image = Image.new("L", (720, 60 + 44 * lines), 255)
    words = SENTENCE.split()
    text = [
        f"{number:05d}.{row} " + " ".join(words[(number * 7 + row * 5 + n) % len(words)] for n in range(7))
        for row in range(lines)
    ]
    face = ImageFont.load_default(24)
    ImageDraw.Draw(image).multiline_text((30, 30), "\n".join(text), fill=15, font=face, spacing=16)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
