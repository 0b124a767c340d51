"""Damaged requests through the gateway's intake: forms, JSON and raw bodies, in pieces of any size.

What must hold of each case: an upload or one of the errors that a caller gets, never another exception; the file that came of it is
exactly what was hashed and typed; nothing is left in the folder. What must hold of good requests, which come every so often: exactly
their document.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from ocrfarm_api import options
from ocrfarm_api.intake import receive
from ocrfarm_api.kinds import kind_of
from ocrfarm_shared.errors import FarmError, OcrFarmError
from ocrfarm_shared.settings import read_settings
from tests.fuzz.decoding import GOOD_EVERY, Found, corpus
from tests.fuzz.mutators import GENERAL

LIMIT = 60_000
TYPES = (
    "image/png",
    "application/octet-stream",
    "application/pdf",
    "text/plain",
    "",
    "multipart/form-data",
    "application/json; charset=utf-16",
)
NAMES = (
    "profile",
    "layout",
    "languages",
    "pages",
    "options",
    "cache",
    "priority",
    "tag",
    "deadline_s",
    "filename",
    "webhook",
    "nonsense",
    "file",
    "",
)
VALUES = (
    "", "accurate", "page", "line", "en,zh", "1-3,5-", "0", "9" * 5000, "-", "1-", "٣", "1,,2", '{"dpi": 300}', '{"dpi": 1e999}',
    "{" * 2000, '{"dpi": NaN}', "[" * 50_000, "off", "inf", "nan", "-1", "1e400", "\ud83d\ude00", "x" * 300, "\0",
    "../../etc/passwd", '{"a": 1, "a": 2}',
)  # fmt: skip


class Uploads:
    """One run over the intake; `folder` is where its temporary files go."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = Random(seed)
        self.files = [data for data in corpus().values() if len(data) < 20_000]
        self.found = Found()
        self.folder = folder
        self.settings = read_settings({}, state=folder)
        self.threads = ThreadPoolExecutor(1)

    def run(self, cases: int) -> None:
        asyncio.run(self._run(cases))
        self.threads.shutdown()

    async def _run(self, cases: int) -> None:
        for number in range(cases):
            good = number % GOOD_EVERY == 0
            kind, content_type, body, document = self._request(good)
            outcome = await self.look(kind, content_type, body, document if good else None)
            if good:
                self.found.good += 1
            self.found.count(kind, outcome)
            if any(self.folder.iterdir()):
                self.found.wrong.append((f"{kind} left a file", body))

    async def look(self, kind: str, content_type: str | None, body: bytes, whole: bytes | None = None) -> str:
        """`ok` or the code of what came. `whole`: the document that must come of it."""
        length = self.rng.choice((None, len(body), 0, 2**40, -1)) if whole is None else len(body)
        try:
            async with receive(
                self._pieces(body),
                content_type=content_type,
                content_length=length,
                folder=self.folder,
                threads=self.threads,
                limit=LIMIT,
            ) as received:
                stored = received.temporary.read_bytes()
                if (hashlib.sha256(stored).hexdigest(), len(stored)) != (received.content, received.size):
                    self.found.wrong.append((f"{kind} hash", body))
                if kind_of(stored[:1024]) != received.kind:
                    self.found.wrong.append((f"{kind} type", body))
                if whole is not None and stored != whole:
                    self.found.wrong.append((f"{kind} another's document", body))
                fields = dict(received.fields)
            if whole is None:
                made = options.submission(fields, self.settings)
                made.model_dump_json().encode()
        except OcrFarmError as err:
            if isinstance(err, FarmError) or whole is not None:
                self.found.wrong.append((f"{kind} {err.code}", body))
            str(err).encode()
            return err.code
        except Exception as err:
            self.found.wrong.append((f"{kind} {type(err).__name__} {err}", body))
            return "exception"
        return "ok"

    async def _pieces(self, body: bytes) -> AsyncIterator[bytes]:
        """As a socket brings them: whole, halved, or a few bytes at a time."""
        if len(body) < 4000 and self.rng.random() < 0.15:
            size = self.rng.choice((1, 2, 3, 7))
        else:
            size = self.rng.choice((len(body) + 1, 1000, 4096, 65_536))
        for at in range(0, len(body), size):
            yield body[at : at + size]

    def _request(self, good: bool) -> tuple[str, str | None, bytes, bytes]:
        document = self.rng.choice(self.files)
        kind = self.rng.choice(("form", "form", "json", "raw"))
        fields = (
            []
            if good
            else [
                (self.rng.choice(NAMES), self.rng.choice(VALUES)) for _ in range(self.rng.choice((0, 0, 1, 2, 5, 40)))
            ]
        )
        if kind == "form":
            content_type, body = self._form(document, fields, good)
        elif kind == "json":
            content_type, body = "application/json", self._json(document, fields, good)
        else:
            content_type, body = "application/octet-stream", document
        if not good:
            for _ in range(self.rng.choice((0, 1, 1, 2, 3))):
                body = self.rng.choice(GENERAL)(self.rng, body)
            if self.rng.random() < 0.1:
                content_type = self.rng.choice(TYPES)
            if self.rng.random() < 0.05:
                content_type = self.rng.choice(GENERAL)(self.rng, content_type.encode()).decode("latin-1")
        return kind, content_type, body[: 4 * LIMIT], document

    def _form(self, document: bytes, fields: list[tuple[str, str]], good: bool) -> tuple[str, bytes]:
        rng = self.rng
        boundary = "xYzZY" if good else rng.choice(("xYzZY", "-", "a" * 70, "a b", '"q"', "--", "é"))
        line = "\r\n" if good or rng.random() < 0.95 else rng.choice(("\n", "\r", "\r\n\r\n"))
        parts = [(f'form-data; name="{name}"', value.encode("utf8", "surrogatepass")) for name, value in fields]
        name = "file" if good else rng.choice(("file", "file", "file", "image", "", "FILE", "file\\"))
        called = (
            "a.png" if good else rng.choice(("a.png", "", "../../x", "a" * 5000, 'a";x="', "\u202e", "a\0b", "%0d%0a"))
        )
        parts.insert(rng.randrange(len(parts) + 1), (f'form-data; name="{name}"; filename="{called}"', document))
        if not good and rng.random() < 0.1:
            parts.append(parts[0])
        out = bytearray()
        for disposition, content in parts:
            headers = f"--{boundary}{line}Content-Disposition: {disposition}{line}"
            if not good and rng.random() < 0.2:
                headers += (
                    rng.choice(
                        ("Content-Type: image/png", "X: " + "y" * 9000, "Content-Transfer-Encoding: base64", ":", "X")
                    )
                    + line
                )
            out += headers.encode() + line.encode() + content + line.encode()
        out += f"--{boundary}--{line}".encode()
        return f"multipart/form-data; boundary={boundary}", bytes(out)

    def _json(self, document: bytes, fields: list[tuple[str, str]], good: bool) -> bytes:
        text = base64.b64encode(document).decode()
        if not good:
            text = self.rng.choice(
                (
                    text,
                    text.replace("+", "-").replace("/", "_"),
                    text.rstrip("="),
                    "data:image/png;base64," + text,
                    text[:-1],
                    "",
                )
            )
        members = dict(fields) | {"base64": text}
        body = json.dumps(
            members, ensure_ascii=good or self.rng.random() < 0.5, indent=None if self.rng.random() < 0.8 else 1
        )
        if not good and self.rng.random() < 0.2:
            body = body.replace("/", "\\/").replace("A", "\\u0041", 3)
        return body.encode("utf8", "surrogatepass")
