"""GET /v1/jobs/{id}/image: asked of a worker, held for, kept, told where it failed. The worker's hands are the tests'."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

import pytest
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_api import artefacts
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.errors import Encrypted
from ocrfarm_shared.ledger import artefact_calls

BODY = b"\xff\xd8\xff the picture"


def job(gateway: Gateway) -> str:
    here = gateway.submit().headers["location"]
    gateway.read()
    return str(here)


def make(gateway: Gateway, body: bytes = BODY) -> str:
    """What a worker does; the blob's name."""
    unit = gateway.claim()
    assert unit.kind == "artefact"
    blobs = BlobStore(gateway.settings.blob_folder)
    name = BlobStore.name(unit.tenant, hashlib.sha256(unit.unit.encode()).hexdigest())
    temporary = blobs.incoming / "x"
    temporary.write_bytes(body)
    blobs.keep(temporary, name)
    assert gateway.ledger(artefact_calls.made(unit.unit, unit.token, name, len(body)))
    return name


def test_202_until_a_worker_has_made_it_then_the_picture(gateway: Gateway) -> None:
    here = job(gateway)
    first = gateway.http.get(f"{here}/image")
    assert (first.status_code, first.headers["retry-after"], first.json()["state"]) == (202, "1", "succeeded")
    assert first.json()["links"]["image"] == f"{here}/image"
    make(gateway)
    ready = gateway.http.get(f"{here}/image")
    assert (ready.status_code, ready.content, ready.headers["content-type"]) == (200, BODY, "image/jpeg")
    assert ready.headers["x-content-type-options"] == "nosniff"
    assert ready.headers["cache-control"] == "private, no-cache"
    again = gateway.http.get(f"{here}/image", headers={"If-None-Match": ready.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_widths_are_rounded_so_that_nobody_fills_the_disk(gateway: Gateway) -> None:
    here = job(gateway)
    gateway.http.get(f"{here}/image?width=700")
    make(gateway)
    for width in (321, 555, 800):
        assert gateway.http.get(f"{here}/image?width={width}").content == BODY
    assert gateway.http.get(f"{here}/image?width=801").status_code == 202


def test_wait_holds_until_it_is_made(gateway: Gateway) -> None:
    here = job(gateway)

    def later() -> None:
        time.sleep(0.5)
        make(gateway)

    worker = threading.Thread(target=later)
    worker.start()
    answer = gateway.http.get(f"{here}/image?wait=20")
    worker.join()
    assert (answer.status_code, answer.content) == (200, BODY)


def test_why_it_cannot_be_made(gateway: Gateway) -> None:
    here = job(gateway)
    gateway.http.get(f"{here}/image?page=3")
    gateway.fail(Encrypted())
    told = gateway.http.get(f"{here}/image?page=3")
    assert (told.status_code, told.json()["code"]) == (422, "encrypted")


def test_gone_unknown_and_bad_requests(gateway: Gateway) -> None:
    here = job(gateway)
    gateway.http.get(f"{here}/image")
    make(gateway)
    for query in ("page=0", "width=0", "width=-1", "format=bmp", "page=x", "wait=61"):
        assert gateway.http.get(f"{here}/image?{query}").status_code == 422, query
    assert gateway.http.get(f"/v1/jobs/job_{'0' * 32}/image").status_code == 404
    gateway.http.delete(here)
    assert gateway.http.get(f"{here}/image").status_code == 404


def test_a_file_that_somebody_removed_is_made_again(gateway: Gateway) -> None:
    here = job(gateway)
    gateway.http.get(f"{here}/image")
    BlobStore(gateway.settings.blob_folder).remove(make(gateway))
    assert gateway.http.get(f"{here}/image").status_code == 202
    make(gateway, BODY + b" again")
    assert gateway.http.get(f"{here}/image").content == BODY + b" again"


def test_too_many_at_once_are_429_and_a_full_disk_503(
    gateway: Gateway, make_gateway: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = job(gateway)
    monkeypatch.setattr(artefacts.artefact_calls, "MOST_MAKING", 1)
    assert gateway.http.get(f"{here}/image?page=1").status_code == 202
    refused = gateway.http.get(f"{here}/image?page=2")
    assert (refused.status_code, refused.json()["code"]) == (429, "over_quota")
    assert int(refused.headers["retry-after"]) >= 1
    make(gateway)
    full = make_gateway(min_free_disk_mb=1e9)
    assert full.http.get(f"{here}/image?page=1").content == BODY  # what is there is given
    refused = full.http.get(f"{here}/image?page=2")
    assert (refused.status_code, refused.json()["code"]) == (503, "farm_full")


def test_while_the_job_still_waits(gateway: Gateway) -> None:
    here = gateway.submit(png()).headers["location"]
    assert gateway.http.get(f"{here}/image").status_code == 202


def test_the_searchable_pdf_is_made_once_the_job_has_ended(gateway: Gateway) -> None:
    here = gateway.submit(name="a.png").headers["location"]
    early = gateway.http.get(f"{here}/result?format=pdf")
    assert (early.status_code, early.json()["state"]) == (202, "queued")
    gateway.read()
    asked = gateway.http.get(f"{here}/result?format=pdf")
    assert (asked.status_code, asked.headers["retry-after"]) == (202, "1")
    make(gateway, b"%PDF-1.7 it")
    ready = gateway.http.get(f"{here}/result?format=pdf")
    assert (ready.content, ready.headers["content-type"]) == (b"%PDF-1.7 it", "application/pdf")
    assert ready.headers["content-disposition"].startswith('attachment; filename="a.png.pdf"')


def test_a_job_that_failed_has_no_pdf(gateway: Gateway) -> None:
    here = gateway.submit().headers["location"]
    gateway.fail(Encrypted())
    answer = gateway.http.get(f"{here}/result?format=pdf")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "encrypted")
