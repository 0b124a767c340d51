"""Intake: whatever the pieces that a body arrives in, the same document and the same fields come out, or the same refusal."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.api.running_gateway import PNG, png

from ocrfarm_api.intake import receive
from ocrfarm_shared.errors import BadOption, EmptyFile, MissingFile, OcrFarmError, TooLarge, UnsupportedType

LIMIT = 200_000
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@dataclass
class Result:
    data: bytes
    content: str
    size: int
    media_type: str
    filename: str | None
    fields: dict[str, Any]


class Desk:
    """Feeds a body in pieces to `receive`, and gives what came of it; nothing may be left in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.threads = ThreadPoolExecutor(2)

    def __call__(self, pieces: list[bytes], kind: str | None, length: int | None = None, limit: int = LIMIT) -> Result:
        async def body() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        async def work() -> Result:
            async with receive(
                body(), content_type=kind, content_length=length, folder=self.folder, threads=self.threads, limit=limit
            ) as got:
                return Result(
                    got.temporary.read_bytes(),
                    got.content,
                    got.size,
                    got.kind.media_type,
                    got.filename,
                    dict(got.fields),
                )

        try:
            return asyncio.run(work())
        finally:
            assert not list(self.folder.iterdir())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.threads.shutdown()


def form(parts: list[tuple[str, bytes]], boundary: bytes = b"frontier") -> bytes:
    return b"".join(
        b"--" + boundary + b"\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    ) + (b"--" + boundary + b"--\r\n")


def field(name: str, value: bytes) -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"', value


def file(data: bytes, filename: str = "a.png") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: image/png', data


MULTIPART = "multipart/form-data; boundary=frontier"

# Bytes that look like the boundary are the interesting ones.
documents = st.lists(
    st.sampled_from([b"\r\n--frontier", b"--frontier--", b"\r", b"\n", b"\r\n", b"-", b"\0", b"\r\n--front"])
    | st.binary(max_size=300),
    max_size=12,
).map(lambda parts: (PNG + b"".join(parts)).replace(b"\r\n--frontier", b"\r\n--frontjer"))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({c % (len(data) + 1) for c in cuts})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


@shared_folder
@given(
    document=documents, before=texts, after=texts, cuts=st.lists(st.integers(0, 5000), max_size=20), one=st.booleans()
)
def test_a_form_in_any_pieces(desk: Desk, document: bytes, before: str, after: str, cuts: list[int], one: bool) -> None:
    body = form([field("tag", before.encode()), file(document), field("profile", after.encode())])
    # A value that holds the boundary ends there, as RFC 7578 has it: the sender must choose another boundary.
    if "\r\n--frontier" in before + after:
        return
    pieces = [bytes([b]) for b in body] if one and len(body) < 600 else cut(body, cuts)
    got = desk(pieces, MULTIPART)
    assert got.data == document
    assert got.content == hashlib.sha256(document).hexdigest()
    assert (got.size, got.media_type, got.filename) == (len(document), "image/png", "a.png")
    assert got.fields == {"tag": before, "profile": after}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3),
)


@shared_folder
@given(
    document=st.binary(max_size=1500),
    members=st.dictionaries(texts.filter(lambda name: name != "base64"), json_values, max_size=4),
    place=st.integers(0, 4),
    cuts=st.lists(st.integers(0, 9000), max_size=20),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
    style=st.sampled_from(["plain", "url", "lines", "slashes", "unpadded", "data"]),
)
def test_json_in_any_pieces(
    desk: Desk,
    document: bytes,
    members: dict[str, Any],
    place: int,
    cuts: list[int],
    ascii_only: bool,
    indent: int | None,
    style: str,
) -> None:
    document = PNG + document
    text = base64.b64encode(document).decode()
    text = {
        "plain": text,
        "url": text.replace("+", "-").replace("/", "_"),
        "lines": "\n".join(text[i : i + 76] for i in range(0, len(text), 76)),
        "slashes": text,
        "unpadded": text.rstrip("="),
        "data": "data:image/png;base64," + text,
    }[style]
    items = list(members.items())
    items.insert(place, ("base64", text))
    body = json.dumps(dict(items), ensure_ascii=ascii_only, indent=indent)
    if style == "slashes":
        body = body.replace("/", "\\/")
    got = desk(cut(body.encode(), cuts), "application/json; charset=utf-8")
    assert got.data == document
    assert got.content == hashlib.sha256(document).hexdigest()
    assert got.fields == members


@shared_folder
@given(body=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_what_is_no_form_and_no_json_is_refused_not_fallen_over(desk: Desk, body: bytes, cuts: list[int]) -> None:
    for kind in (MULTIPART, "application/json"):
        with pytest.raises(OcrFarmError) as refused:
            desk(cut(body, cuts), kind)
        assert 400 <= refused.value.status < 500


def test_raw_bodies_of_any_declared_type(desk: Desk) -> None:
    document = png()
    for kind in ("image/png", "application/octet-stream", "application/x-www-form-urlencoded", None):
        assert desk([document[:3], document[3:]], kind).data == document


def test_more_than_the_buffer_keeps_its_order(desk: Desk) -> None:
    document = PNG + bytes(range(256)) * 20_000
    got = desk([document[i : i + 65_536] for i in range(0, len(document), 65_536)], "image/png", limit=10_000_000)
    assert got.data == document
    assert got.content == hashlib.sha256(document).hexdigest()


@pytest.mark.parametrize(
    ("body", "kind", "error", "says"),
    [
        (b"", "image/png", EmptyFile, "empty"),
        (b"", None, MissingFile, "file"),
        (form([file(b"")]), MULTIPART, EmptyFile, "empty"),
        (b'{"base64": ""}', "application/json", EmptyFile, "empty"),
        (form([field("tag", b"x")]), MULTIPART, MissingFile, "`file`"),
        (b'{"tag": "x"}', "application/json", MissingFile, "base64"),
        (form([]), MULTIPART, MissingFile, "`file`"),
        (b"hello, this is a text", "text/plain", UnsupportedType, "convert"),
        (b"BM and some words that go on for a while", "image/bmp", UnsupportedType, "convert"),
        (form([file(png()), file(png())]), MULTIPART, BadOption, "more than one"),
        (form([field("tag", b"a"), field("tag", b"b"), file(png())]), MULTIPART, BadOption, "2 times"),
        (form([field("tag", b"\xff"), file(png())]), MULTIPART, BadOption, "UTF-8"),
        (form([file(png())])[:-6], MULTIPART, BadOption, "breaks off"),
        (form([file(png())]), "multipart/form-data", BadOption, "boundary"),
        (form([("Content-Type: image/png", png())]), MULTIPART, BadOption, "Content-Disposition"),
        (
            form([('Content-Disposition: form-data; name="image"; filename="a"', png())]),
            MULTIPART,
            BadOption,
            "`image`",
        ),
        (form([field(f"f{i}", b"") for i in range(40)]), MULTIPART, BadOption, "32 fields"),
        (form([field("tag", b"x" * 70_000)]), MULTIPART, TooLarge, "`tag`"),
        (b'{"base64": "@@@@"}', "application/json", BadOption, "base64"),
        (b'{"base64": "QUJD=QUJ"}', "application/json", BadOption, "base64"),
        (b'{"base64": "QQ==QQ=="}', "application/json", BadOption, "base64"),
        (b'{"base64": "iVBORw0KGgo\\u0041"}', "application/json", BadOption, "base64"),
        (b'{"base64": "iVBORw0KGgo"', "application/json", BadOption, "JSON"),
        (b'{"base64": "iVBORw0KGgo", "base64": "iVBORw0KGgo"}', "application/json", BadOption, "twice"),
        (b'{"base64": 5}', "application/json", BadOption, "string"),
        (b'{"base64": ["iVBORw0KGgo"]}', "application/json", BadOption, "string"),
        (b'{"b\\u0061se64": "iVBORw0KGgo"}', "application/json", BadOption, "very name"),
        (b'["base64", "iVBORw0KGgo"]', "application/json", BadOption, "object"),
        (b'{"a": {"base64": "iVBORw0KGgo"}}', "application/json", MissingFile, "base64"),
        (b'{"tag": "' + b"x" * 300_000 + b'"}', "application/json", TooLarge, "base64"),
        (b"[" * 50_000, "application/json", BadOption, "JSON"),
    ],
)
def test_refusals(desk: Desk, body: bytes, kind: str | None, error: type[OcrFarmError], says: str) -> None:
    for pieces in ([body], [body[i : i + 7] for i in range(0, len(body), 7)]):
        with pytest.raises(error, match=says) as refused:
            desk(pieces, kind)
        assert type(refused.value) is error


@pytest.mark.parametrize("kind", ["image/png", MULTIPART, "application/json"])
def test_too_large_is_said_while_it_streams(desk: Desk, kind: str) -> None:
    """Without a Content-Length: the body is not read to its end."""
    document = PNG + b"x" * 3 * LIMIT
    body = {
        "image/png": document,
        MULTIPART: form([file(document)]),
        "application/json": json.dumps({"base64": base64.b64encode(document).decode()}).encode(),
    }[kind]
    taken = 0

    class Pieces(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal taken
            for i in range(0, len(body), 1000):
                taken += 1000
                yield body[i : i + 1000]

    with pytest.raises(TooLarge, match=r"0\.2 MB"):
        desk(Pieces(), kind)
    assert taken < 1.5 * LIMIT


def test_too_large_is_said_before_anything_is_read(desk: Desk) -> None:
    class Never(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError("the body was read")

    with pytest.raises(TooLarge):
        desk(Never(), "image/png", length=LIMIT + 1)


def test_a_boundary_too_long_is_refused(desk: Desk) -> None:
    with pytest.raises(BadOption, match="boundary"):
        desk([b"--x"], f"multipart/form-data; boundary={'x' * 5000}")


def test_base64_all_of_escapes_does_not_hold_up_the_others(desk: Desk) -> None:
    document = png(b"\xff" * 150_000)
    text = base64.b64encode(document).replace(b"/", rb"\/\n")
    assert len(text) > 700_000
    started = time.monotonic()
    got = desk([b'{"base64":"' + text + b'"}'], "application/json", limit=1_000_000)
    assert got.data == document
    assert time.monotonic() - started < 2  # 20 ms; ten seconds where each escape is looked for to the end


def test_base64_of_nothing_but_escapes_costs_no_more_than_plain(desk: Desk) -> None:
    def seconds(letters: bytes) -> float:
        body = b'{"base64":"' + base64.b64encode(PNG + b"\0") + letters + b'"}'
        spent = []
        for _ in range(3):
            begun = time.process_time()
            with pytest.raises(TooLarge):  # at the end of what came
                desk([body[at : at + 65536] for at in range(0, len(body), 65536)], "application/json", limit=1_400_000)
            spent.append(time.process_time() - begun)
        return min(spent)

    plain = seconds(b"A" * 2_000_000)
    assert seconds(rb"\/" * 2_000_000) < 20 * plain  # a regular expression takes far longer


@pytest.mark.parametrize("end", [rb"\u0041", rb"\\n", rb"\\/", b"\\\\", rb"\b"])
def test_escapes_that_are_no_base64(desk: Desk, end: bytes) -> None:
    whole = b'{"base64":"AAAA' + end + b'"}'
    for cut in range(14, len(whole)):
        with pytest.raises(BadOption):
            desk([whole[:cut], whole[cut:]], "application/json")


def test_exactly_the_limit_is_taken(desk: Desk) -> None:
    document = PNG + b"x" * (LIMIT - len(PNG))
    assert desk([document], "image/png", length=LIMIT).size == LIMIT
    assert desk([form([file(document)])], MULTIPART).size == LIMIT
    assert (
        desk([json.dumps({"base64": base64.b64encode(document).decode()}).encode()], "application/json").size == LIMIT
    )


def test_no_name_is_a_path(desk: Desk) -> None:
    got = desk([form([file(png(), "../../etc/passwd")])], MULTIPART)
    assert got.filename == "../../etc/passwd"  # data: kept as it was sent, and used as no path
