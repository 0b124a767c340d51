"""Zips that unpack to far more than they are, in a batch, under a memory cap of the gateway's."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import psutil
import pytest

from tests.faults.pages import quick
from tests.running_farm import RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]

GATEWAY_CAP = 200_000_000  # bytes that the gateway may grow by
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
ENTRY = 10_000_000


def all_zeros(entries: int) -> bytes:
    """So many entries of 10 MB that begin as a PNG does: a thousandth of that as a zip."""
    pack = zlib.compressobj(6, wbits=-15)
    body = PNG_HEAD + bytes(ENTRY)
    packed, crc = pack.compress(body) + pack.flush(), zlib.crc32(body)
    return raw_zip([(f"{n}.png".encode(), packed, crc, len(body)) for n in range(entries)])


def raw_zip(entries: list[tuple[bytes, bytes, int, int]], *, shared: bool = False) -> bytes:
    """(name, deflated bytes, checksum, size) each; `shared`: all of them are the first one's bytes, under many names."""
    out, directory = bytearray(), bytearray()
    for n, (name, packed, crc, size) in enumerate(entries):
        offset = 0 if shared else len(out)
        if not shared or n == 0:
            out += (
                struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(packed), size, len(name), 0)
                + name
                + packed
            )
        directory += (
            struct.pack(
                "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(packed), size, len(name), 0, 0, 0, 0, 0, offset
            )
            + name
        )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(entries), len(entries), len(directory), len(out), 0)
    return bytes(out + directory + end)


def a_size_that_lies() -> bytes:
    """Says that it is 1000 bytes long, and is 60 MB."""
    pack, crc = zlib.compressobj(6, wbits=-15), 0
    packed = pack.compress(PNG_HEAD)
    for _ in range(60):
        packed += pack.compress(bytes(1_000_000))
    return raw_zip([(b"small.png", packed + pack.flush(), crc, 1000)])


def overlapping() -> bytes:
    pack = zlib.compressobj(6, wbits=-15)
    body = PNG_HEAD + bytes(ENTRY)
    packed = pack.compress(body) + pack.flush()
    return raw_zip([(f"{n:04}.png".encode(), packed, zlib.crc32(body), len(body)) for n in range(2000)], shared=True)


def nested(depth: int) -> bytes:
    inner = all_zeros(1)
    for n in range(depth):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr(f"{n}.zip", inner)
        inner = out.getvalue()
    return inner


@pytest.mark.row(n=16)
def test_zip_bombs_in_a_batch(farm: RunningFarm) -> None:
    zips = {"zeros": all_zeros(40), "lies": a_size_that_lies(), "overlap": overlapping(), "nested": nested(3)}
    assert sum(map(len, zips.values())) < 5_000_000
    gateway, pool = psutil.Process(farm.pid("api")), farm.pid("worker")
    before = gateway.memory_info().rss
    codes: dict[str, list[str | None]] = {}
    jobs: list[str] = []
    for name, data in zips.items():
        answer = farm.http.post("/v1/batches", files=[("file", (f"{name}.zip", data))], timeout=300)
        assert answer.status_code == 202, answer.text
        items = farm.http.get(f"/v1/batches/{answer.json()['id']}/jobs", params={"limit": 200}).json()["items"]
        codes[name] = [(item["error"] or {}).get("code") for item in items]
        jobs += [item["job"] for item in items if item["job"]]
    assert codes["zeros"].count("zip_bomb") >= 30, codes["zeros"]
    assert codes["lies"] == ["too_large"], codes["lies"]
    assert set(codes["overlap"]) == {"zip_bomb"}
    assert codes["nested"] == ["unsupported_type"]
    grown = gateway.memory_info().rss - before
    assert grown < GATEWAY_CAP, f"the gateway grew by {grown / 1e6:.0f} MB"
    good = farm.submit(quick("A good page after the zips"), cache="off")
    views = farm.wait([good, *jobs], timeout=300)
    assert farm.text(good).split() == ["A", "good", "page", "after", "the", "zips"]
    assert {views[job]["state"] for job in jobs} <= {"failed"}
    assert farm.pid("worker") == pool
    assert not list((farm.state / "blobs" / "incoming").iterdir())
