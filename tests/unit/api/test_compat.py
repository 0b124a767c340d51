"""The forms of small OCR services: their requests, their answers, their errors; the farm's keys and limits."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from tests.unit.api.running_gateway import Gateway, png

from ocrfarm_shared.errors import Unreadable
from ocrfarm_shared.keys import NewKey
from ocrfarm_shared.ledger import calls, key_calls

FIELDS = {"/ocr": "image", "/api/ocr": "image", "/predict": "file"}


@contextmanager
def reading(gateway: Gateway, text: str = "hello") -> Iterator[list[str]]:
    """Hands that read whatever comes, in the background; the tenants whose pages they read."""
    stop, tenants = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            try:
                tenants.append(gateway.read(text).tenant)
            except AssertionError:
                time.sleep(0.02)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield tenants
    finally:
        stop.set()
        worker.join()


def post(gateway: Gateway, path: str, document: bytes | None = None, **more: object) -> httpx.Response:
    return gateway.http.post(path, files={FIELDS[path.partition("?")[0]]: ("a.png", document or png())}, **more)  # type: ignore[arg-type]


def test_ocr(gateway: Gateway) -> None:
    with reading(gateway):
        told = post(gateway, "/ocr").json()
    assert told["success"] is True
    assert told["results"] == [{"text": "hello", "confidence": 0.9}]
    assert told["total_time_ms"] > 0
    assert set(told) == {"success", "results", "total_time_ms"}


@pytest.mark.parametrize("member", ["image", "base64"])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_api_ocr_takes_a_file_or_base64(gateway: Gateway, member: str, prefix: str) -> None:
    with reading(gateway):
        by_file = post(gateway, "/api/ocr").json()
        body = {member: prefix + base64.b64encode(png()).decode(), "lang": "their own"}
        by_json = gateway.http.post("/api/ocr", json=body).json()
    assert by_file["text"] == by_json["text"] == ["hello"]
    assert isinstance(by_file["time"], float)
    assert set(by_file) == set(by_json) == {"text", "time"}


def test_predict(gateway: Gateway) -> None:
    with reading(gateway):
        assert post(gateway, "/predict", data={"threshold": "0.5"}).json() == {"prediction": "hello"}


def test_health(gateway: Gateway) -> None:
    assert gateway.http.get("/health").status_code == 503
    gateway.hire()
    told = gateway.http.get("/health")
    assert (told.status_code, told.json()["status"]) == (200, "ok")
    assert told.json()["model"]


@pytest.mark.parametrize("path", FIELDS)
def test_get_is_405_and_no_image_400(gateway: Gateway, path: str) -> None:
    assert gateway.http.get(path).status_code == 405
    for answer in (
        gateway.http.post(path),
        gateway.http.post(path, data={"a": "b"}),
        gateway.http.post(path, files={"other": ("a.png", png())}),
        gateway.http.post(path, files={FIELDS[path]: ("a.png", b"")}),
        gateway.http.post(path, json={"a": "b"}),
        gateway.http.post(path, json={"image": 7}),
    ):
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]
        assert answer.json().get("success") is (False if path == "/ocr" else None)


@pytest.mark.parametrize("path", FIELDS)
def test_what_went_wrong_is_said_in_their_shape(make_gateway: Callable[..., Gateway], path: str) -> None:
    gateway = make_gateway(compat_wait_s=0.5, max_upload_mb=0.001)
    assert post(gateway, path, b"no picture at all").status_code == 415
    assert post(gateway, path, png(bytes(9000))).status_code == 413
    slow = post(gateway, path)
    assert (slow.status_code, slow.json()["code"]) == (504, "timeout")
    assert "/v1/jobs" in slow.json()["error"]
    assert slow.headers["retry-after"]
    state = gateway.ledger(calls.farm("default"))
    assert state.active_jobs == 0, "a job that nobody can ask for goes on"
    full = make_gateway(max_queued=1, min_free_disk_mb=1e9)
    refused = post(full, path)
    assert (refused.status_code, refused.json()["code"]) == (503, "farm_full")
    assert refused.headers["retry-after"]


def test_a_picture_that_cannot_be_read(gateway: Gateway) -> None:
    def work() -> None:
        while True:
            try:
                return gateway.fail(Unreadable())
            except AssertionError:  # nothing is published yet
                time.sleep(0.02)

    worker = threading.Thread(target=work)
    worker.start()
    answer = post(gateway, "/ocr")
    worker.join()
    assert (answer.status_code, answer.json()["success"], answer.json()["code"]) == (422, False, "unreadable")


def test_keys_tenants_and_roles_are_those_of_v1(gateway: Gateway) -> None:
    def key(**asked: object) -> dict[str, str]:
        made = gateway.ledger(key_calls.create_key(NewKey(**asked)))  # type: ignore[arg-type]
        assert made is not None
        return {"X-API-Key": made.key}

    ann, bob, only_submits = key(tenant="ann"), key(tenant="bob"), key(tenant="ann", roles=("submit",))
    assert post(gateway, "/predict").status_code == 401
    assert post(gateway, "/predict", headers=only_submits).status_code == 403
    document = png()
    with reading(gateway) as tenants:
        for who in (ann, ann, bob):
            assert post(gateway, "/predict", document, headers=who).json() == {"prediction": "hello"}
    assert tenants == ["ann", "bob"]  # the second of ann's came from the cache; nothing of hers is bob's


def test_options_of_ours_in_the_query(gateway: Gateway) -> None:
    with reading(gateway):
        assert post(gateway, "/predict?layout=line&lang=theirs").status_code == 200
    (job,) = gateway.http.get("/v1/jobs").json()["jobs"]
    assert (job["priority"], job["filename"]) == ("interactive", "a.png")
    assert post(gateway, "/predict?layout=round").status_code == 400
