"""Uploads that are many, broken, enormous or without an end."""

from __future__ import annotations

import http.client
import io
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest

from tests.documents import page, png_bomb
from tests.faults.pages import quick, slow, until
from tests.running_farm import RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]

MEMORY_CAP = 1_500_000_000  # bytes, of one worker process; a page of 400 megapixels alone would take 1.2 GB as BGR


@pytest.mark.row(n=11)
def test_five_hundred_identical_uploads_at_once(farm: RunningFarm) -> None:
    """One is read, 500 are answered. The page takes two seconds, so that most come while it is being read."""
    data = slow(f"All of us want this page {time.time_ns()}")
    read = farm.pages_read()
    with ThreadPoolExecutor(32) as pool:
        jobs = list(pool.map(lambda _: farm.submit(data), range(500)))
        views = farm.wait(jobs)
        texts = set(pool.map(farm.text, jobs))
    assert len(set(jobs)) == 500
    assert {v["state"] for v in views.values()} == {"succeeded"}
    assert len(texts) == 1
    assert "All of us" in texts.pop()
    assert farm.pages_read() - read == 1


@pytest.mark.row(n=15)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_truncated_image_after_a_good_one(farm: RunningFarm, kind: str) -> None:
    out = io.BytesIO()
    page("The text of the good page stands here", height=400).save(out, kind)
    good = out.getvalue()
    for _ in range(2):  # each process has read the good one before
        farm.wait([farm.submit(good, cache="off") for _ in range(2)])
    for share in (0.5, 0.9):
        job = farm.submit(good[: int(len(good) * share)], cache="off")
        view = farm.wait([job])[job]
        assert (view["state"], (view["error"] or {}).get("code")) == ("failed", "unreadable"), (share, view)
        assert view["attempt"] == 1
        answer = farm.http.get(f"/v1/jobs/{job}/result")
        assert answer.status_code == 409
        assert "good page" not in answer.text


@pytest.mark.row(n=17)
def test_a_chunked_upload_over_the_limit(farm: RunningFarm) -> None:
    """No Content-Length: 413 comes while it streams, and not after all of it was taken."""
    sent, limit, piece = 0, 50_000_000, bytes(1_000_000)
    with socket.create_connection(("127.0.0.1", farm.port), timeout=60) as connection:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{farm.port}\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"8\r\n\x89PNG\r\n\x1a\n\r\n")
        while sent < 4 * limit and not select.select([connection], [], [], 0)[0]:
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            sent += len(piece)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())
    assert (answer.status, body["code"]) == (413, "too_large")
    assert limit * 0.9 < sent < limit + 20_000_000, f"{sent} bytes were sent before it said no"
    until(lambda: not list((farm.state / "blobs" / "incoming").iterdir()), 10, "half an upload was left")


# ---------------------------------------------------------------------------------------------------- bombs


def pdf(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1, the first its catalogue (ISO 32000-1, 7.5)."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))


CATALOGUE = b"<</Type/Catalog/Pages 2 0 R>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]>>"


def giant_page() -> bytes:
    return pdf(CATALOGUE, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", PAGE % (200_000, 200_000))


def many_pages() -> bytes:
    count = 100_000
    kids = b"3 0 R " * count
    return pdf(CATALOGUE, b"<</Type/Pages/Count %d/Kids[%b]>>" % (count, kids), PAGE % (200, 200))


def page_tree_loop() -> bytes:
    return pdf(
        CATALOGUE,
        b"<</Type/Pages/Count 2/Kids[3 0 R 3 0 R]>>",
        b"<</Type/Pages/Count 2/Parent 2 0 R/Kids[2 0 R 3 0 R]>>",
    )


def form_loop() -> bytes:
    """A drawing that draws itself: the page opens, and holds nothing."""
    form = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 4 0 R>>>>/Length 4>>\nstream\n/F Do\nendstream"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Resources<</XObject<</F 4 0 R>>>>/Contents 5 0 R>>"
    content = b"<</Length 5>>\nstream\n/F Do\nendstream"
    return pdf(CATALOGUE, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", page, form, content)


@contextmanager
def watched(farm: RunningFarm) -> Iterator[list[int]]:
    """The most that any one worker process holds meanwhile, in bytes."""
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for process in psutil.Process(farm.pid("worker")).children(recursive=True):
                try:
                    most[0] = max(most[0], process.memory_info().rss)
                except psutil.Error:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


@pytest.mark.row(n=16)
def test_bombs(farm: RunningFarm) -> None:
    bombs = {
        "400 megapixels": (png_bomb(), {"too_many_pixels"}),
        "a page of 200,000 points": (giant_page(), {"too_many_pixels"}),
        "100,000 pages": (many_pages(), {"too_many_pages"}),
        "a page tree that holds itself": (page_tree_loop(), {"unreadable", "too_many_pages"}),
    }
    pool, before = farm.pid("worker"), {p.pid for p in farm.worker_children()}
    assert len(bombs["400 megapixels"][0]) < 100_000
    with watched(farm) as most:
        jobs = {name: farm.submit(data, cache="off") for name, (data, _) in bombs.items()}
        views = farm.wait(jobs.values(), timeout=180)
        drawn = farm.submit(form_loop(), cache="off")
        assert farm.wait([drawn])[drawn]["state"] in ("succeeded", "failed")
        good = farm.submit(quick("A good page after the bombs"), cache="off")
        assert farm.wait([good])[good]["state"] == "succeeded"
    for name, (_, codes) in bombs.items():
        view = views[jobs[name]]
        assert view["state"] == "failed", (name, view)
        assert view["error"]["code"] in codes, (name, view)
        assert view["attempt"] == 1, (name, view)
    assert farm.text(good).split() == ["A", "good", "page", "after", "the", "bombs"]
    assert 0 < most[0] < MEMORY_CAP, f"a worker process took {most[0] / 1e6:.0f} MB"
    assert farm.pid("worker") == pool
    assert before <= {p.pid for p in farm.worker_children()}, "a worker process died"
