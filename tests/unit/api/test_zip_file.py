"""Zips that are whole, broken, and made to harm."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.api.running_gateway import png

from ocrfarm_api.zip_file import Budget, ZipFile
from ocrfarm_shared.errors import EmptyFile, Encrypted, OcrFarmError, TooLarge, Unreadable, UnsupportedType, ZipBomb

LIMIT = 1_000_000
Make = Callable[[dict[str, bytes]], Path]


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def unpack_all(
    path: Path, folder: Path, limit: int = LIMIT, most: int = 1000, budget: int = 10**9
) -> dict[str, object]:
    """By name: the bytes, or the error's code."""
    found: dict[str, object] = {}
    archive, purse = ZipFile(path, most=most), Budget(budget)
    for entry in archive.entries():
        target = folder / f"out-{entry.index}"
        try:
            done = archive.unpack(entry, target, limit=limit, budget=purse)
            found[entry.name] = target.read_bytes()
            assert done.content == hashlib.sha256(target.read_bytes()).hexdigest()
            assert done.size == target.stat().st_size
            target.unlink()
        except OcrFarmError as err:
            found[entry.name] = err.code
        assert not target.exists()
    archive.close()
    return found


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_in_it(tmp_path: Path, method: int) -> None:
    files = {
        "a.png": png(),
        "sub/\u5355.png": png(random.Random(1).randbytes(600_000)),
        "b.pdf": b"%PDF-1.7\n" + b"x" * 3000,
    }
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(files, method))
    assert unpack_all(path, tmp_path) == files


def test_behind_a_program_and_with_a_comment(tmp_path: Path) -> None:
    files = {"a.png": png()}
    path = tmp_path / "a.zip"
    path.write_bytes(b"#!/bin/sh\nexit\n" * 99 + zipped(files)[:-2] + struct.pack("<H", 5) + b"hello")
    assert unpack_all(path, tmp_path) == files


def test_zip64(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made, made.open("a.png", "w", force_zip64=True) as out:
        out.write(png(b"x"))
    assert unpack_all(path, tmp_path) == {"a.png": png(b"x")}


def test_errors_are_of_one_entry_and_its_neighbours_go_on(tmp_path: Path) -> None:
    good, text = png(b"good"), b"just text"
    files = {
        "1.png": good,
        "2.txt": text,
        "3.png": b"",
        "4.zip": zipped({"x.png": good}),
        "5.png": png(bytes(2000)),
        "6.png": good,
    }
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(files))
    assert unpack_all(path, tmp_path, limit=1500) == {
        "1.png": good, "2.txt": "unsupported_type", "3.png": "empty_file", "4.zip": "unsupported_type", "5.png": "too_large", "6.png": good,
    }  # fmt: skip


def test_a_size_that_lies(tmp_path: Path) -> None:
    body = bytearray(zipped({"a.png": png(bytes(3000))}))
    at = body.rfind(b"PK\1\2")
    body[at + 24 : at + 28] = struct.pack("<L", 10)
    path = tmp_path / "a.zip"
    path.write_bytes(body)
    assert unpack_all(path, tmp_path, limit=1000) == {"a.png": "too_large"}
    assert unpack_all(path, tmp_path) == {"a.png": "unreadable"}


def test_a_wrong_checksum_and_a_foreign_method(tmp_path: Path) -> None:
    body = bytearray(zipped({"a.png": png()}, zipfile.ZIP_STORED))
    body[40] ^= 1
    path = tmp_path / "a.zip"
    path.write_bytes(body)
    assert unpack_all(path, tmp_path) == {"a.png": "unreadable"}
    path.write_bytes(zipped({"a.png": png()}, zipfile.ZIP_LZMA))
    assert unpack_all(path, tmp_path) == {"a.png": "unsupported_type"}


def test_a_password(tmp_path: Path) -> None:
    body = bytearray(zipped({"a.png": png()}))
    body[body.rfind(b"PK\1\2") + 8] |= 1
    path = tmp_path / "a.zip"
    path.write_bytes(body)
    archive = ZipFile(path, most=9)
    with pytest.raises(Encrypted):
        archive.unpack(next(archive.entries()), tmp_path / "x", limit=LIMIT, budget=Budget(LIMIT))
    archive.close()


def test_a_bomb_of_one_entry_stops_early(tmp_path: Path) -> None:
    """1 GB of zeros behind a PNG's first bytes, in 1 MB: the limit of a document stops it, and nothing without a PNG's head gets so far."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, head in (("a.png", png()), ("zeros.png", b"")):
            with made.open(name, "w") as out:
                out.write(head)
                for _ in range(100):
                    out.write(bytes(1_000_000))
    archive, budget = ZipFile(path, most=9), Budget(10**9)
    one, other = archive.entries()
    with pytest.raises(TooLarge):
        archive.unpack(one, tmp_path / "x", limit=LIMIT, budget=budget)
    with pytest.raises(UnsupportedType):
        archive.unpack(other, tmp_path / "x", limit=10**9, budget=budget)
    assert budget._left > 10**9 - 600_000
    with pytest.raises(ZipBomb):
        archive.unpack(one, tmp_path / "x", limit=10**9, budget=Budget(5_000_000))
    archive.close()


def overlapping(count: int) -> bytes:
    """Many names for the same bytes, as in D. Fifield's zip bombs (USENIX WOOT 2019)."""
    body = zipped({"a.png": png(bytes(100_000))})
    at, end = body.rfind(b"PK\1\2"), body.rfind(b"PK\5\6")
    directory = body[at:end] * count
    return (
        body[:at]
        + directory
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, min(count, 65535), min(count, 65535), len(directory), at, 0)
    )


def test_entries_that_share_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(overlapping(50))
    assert unpack_all(path, tmp_path) == {"a.png": "zip_bomb"}


def test_too_many_entries_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(overlapping(200_000))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        ZipFile(path, most=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


def test_office_documents_are_no_archives_of_scans(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(zipped({"[Content_Types].xml": b"<x/>", "word/media/a.png": png()}))
    with pytest.raises(UnsupportedType):
        ZipFile(path, most=9)


def test_folders_and_litter_are_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"a/": b"", "a/.DS_Store": b"x", "__MACOSX/a/._b.png": b"x", "a/b.png": png()}))
    archive = ZipFile(path, most=9)
    assert [entry.name for entry in archive.entries() if entry.wanted] == ["a/b.png"]
    archive.close()


@pytest.mark.parametrize("body", [b"PK\3\4", b"PK\5\6" + bytes(10), b"PK\5\6" + b"\xff" * 18, b"PK\3\4" * 1000])
def test_rubbish(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(body)
    with pytest.raises(Unreadable):
        ZipFile(path, most=9)


WHOLE = zipped({"a.png": png(b"1" * 50), "b.png": png(b"2" * 50), "c.txt": b"c"})


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(WHOLE)))
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_broken_is_an_error_of_ours(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    body = bytearray(WHOLE)
    for at, value in changes:
        body[at] = value
    path = tmp_path / "a.zip"
    path.write_bytes(body[:cut] if changes and changes[0][0] % 3 == 0 else body)
    try:
        found = unpack_all(path, tmp_path)
    except OcrFarmError:
        return
    for value in found.values():
        assert isinstance(value, str) or bytes(value).startswith(b"\x89PNG")  # type: ignore[call-overload]


def test_an_empty_file_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"a.png": b""}))
    archive = ZipFile(path, most=9)
    with pytest.raises(EmptyFile):
        archive.unpack(next(archive.entries()), tmp_path / "x", limit=LIMIT, budget=Budget(LIMIT))
    archive.close()
