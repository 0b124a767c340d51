"""Batches over HTTP: many files, zips, broken ones among them; nothing taken twice, nothing left half."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.unit.api.running_gateway import PDF, Gateway, png
from tests.unit.api.test_events import stream
from tests.unit.api.test_zip_file import overlapping, zipped

from ocrfarm_shared.errors import Unreadable

Files = list[tuple[str, Any]]


def files(*parts: tuple[str, bytes] | str) -> Files:
    """`file` parts; a text is the `key` of the file that follows."""
    return [("key", (None, part)) if isinstance(part, str) else ("file", part) for part in parts]


def open_batch(gateway: Gateway, parts: Files | None = None, **more: Any) -> dict[str, Any]:
    answer = gateway.http.post("/v1/batches", files=parts, **more)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def view(gateway: Gateway, batch: dict[str, Any]) -> dict[str, Any]:
    return dict(gateway.http.get(batch["links"]["self"]).json())


def nothing_temporary(gateway: Gateway) -> bool:
    return not list((gateway.settings.blob_folder / "incoming").iterdir())


def test_many_files_a_broken_one_among_them(gateway: Gateway) -> None:
    batch = open_batch(
        gateway,
        files(("a.png", png()), ("b.txt", b"text"), ("c.pdf", PDF), ("d.png", b""), ("sub/e.png", png())),
        data={"tag": "mine", "priority": "normal"},
    )
    assert (batch["state"], batch["added"], batch["tag"], batch["priority"]) == ("open", 5, "mine", "normal")
    assert batch["closes_at"] > time.time()
    assert [(i["number"], i["filename"], i["state"]) for i in batch["items"]] == [
        (1, "a.png", "queued"), (2, "b.txt", "failed"), (3, "c.pdf", "queued"), (4, "d.png", "failed"), (5, "sub/e.png", "queued"),
    ]  # fmt: skip
    assert [item["error"]["code"] for item in batch["errors"]] == ["unsupported_type", "empty_file"]
    assert batch["counts"] | {"total": 5, "queued": 3, "refused": 2} == batch["counts"]
    job = gateway.http.get(f"/v1/jobs/{batch['items'][0]['job']}").json()
    assert (job["batch"], job["tag"], job["priority"]) == (batch["id"], "mine", "normal")
    assert nothing_temporary(gateway)


def test_open_add_close_read(gateway: Gateway) -> None:
    batch = open_batch(gateway, json={"profile": "accurate"})
    assert (batch["profile"], batch["priority"], batch["counts"]["total"]) == ("accurate", "bulk", 0)
    for name in ("1.png", "2.png"):
        answer = gateway.http.post(batch["links"]["files"], files=files((name, png())))
        assert (answer.status_code, answer.json()["added"]) == (202, 1), answer.text
    assert gateway.http.post(batch["links"]["close"]).json()["state"] == "running"
    late = gateway.http.post(batch["links"]["files"], files=files(("3.png", png())))
    assert (late.status_code, late.json()["code"]) == (409, "batch_closed")
    gateway.read()
    gateway.read()
    ended = gateway.http.get(batch["links"]["self"], params={"wait": 5}).json()
    assert (ended["state"], ended["counts"]["succeeded"]) == ("succeeded", 2)


def test_a_zip_as_the_body_and_as_a_part(gateway: Gateway) -> None:
    scans = {f"scans/{n}.png": png() for n in range(30)} | {"scans/": b"", "__MACOSX/._1.png": b"x", "notes.txt": b"x"}
    body = zipped(scans)
    batch = open_batch(gateway, content=body, headers={"Content-Type": "application/zip"}, params={"close": "true"})
    assert (batch["state"], batch["added"]) == ("running", 31)
    assert [i["filename"] for i in batch["items"]] == [f"scans/{n}.png" for n in range(30)] + ["notes.txt"]
    again = open_batch(gateway, files(("one.png", png()), ("all.zip", body), ("last.png", png())))
    assert again["added"] == 33
    assert [again["items"][at]["filename"] for at in (0, 1, 32)] == ["one.png", "scans/0.png", "last.png"]
    assert nothing_temporary(gateway)


def test_close_may_come_last_and_other_options_may_not(gateway: Gateway) -> None:
    """`curl -F file=@a.png -F close=true`: it closes what came before it."""
    form = [("file", ("a.png", png())), ("close", (None, "true"))]
    answer = gateway.http.post("/v1/batches", files=form)
    assert (answer.status_code, answer.json()["state"], answer.json()["added"]) == (202, "running", 1), answer.text
    answer = gateway.http.post("/v1/batches", files=[form[0], ("close", (None, "false"))])
    opened = answer.json()
    assert (answer.status_code, opened["state"]) == (202, "open"), answer.text
    for late, why in ((("tag", (None, "x")), "send options before"), (("close", (None, "maybe")), "true or false")):
        answer = gateway.http.post("/v1/batches", files=[form[0], late])
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_option"), answer.text
        assert why in answer.json()["detail"]
    more = gateway.http.post(opened["links"]["files"], files=form)  # to add files is not to close
    assert (more.status_code, more.json()["code"]) == (422, "bad_option"), more.text


def test_zips_that_harm_are_items_with_an_error(gateway: Gateway) -> None:
    parts = [
        ("broken.zip", b"PK\3\4 and no more"),
        ("letter.docx", zipped({"[Content_Types].xml": b"x", "word/a.png": png()})),
        ("bomb.zip", overlapping(3)),
        ("nested.zip", zipped({"in.zip": zipped({"a.png": png()}), "good.png": png()})),
        ("names.zip", zipped({"../../etc/passwd.png": png(), "/root/x.png": png()})),
    ]
    batch = open_batch(gateway, files(*parts))
    found = [(item["filename"], (item["error"] or {}).get("code")) for item in batch["items"]]
    assert found == [
        ("broken.zip", "unreadable"), ("letter.docx", "unsupported_type"), *[("a.png", "zip_bomb")] * 3, ("in.zip", "unsupported_type"),
        ("good.png", None), ("../../etc/passwd.png", None), ("/root/x.png", None),
    ]  # fmt: skip
    assert nothing_temporary(gateway)
    kept = [path for path in gateway.settings.state.rglob("*") if path.is_file()]
    assert all(len(path.name) == 64 for path in kept), kept


def test_a_zip_that_unpacks_to_far_too_much_stops(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_upload_mb=1, max_zip_ratio=10)
    bomb = zipped({f"{n}.png": png(bytes(900_000)) for n in range(20)})
    batch = open_batch(gateway, content=bomb, headers={"Content-Type": "application/zip"})
    codes = [(item["error"] or {}).get("code") for item in batch["items"]]
    assert set(codes) <= {None, "zip_bomb"}  # several are unpacked at a time: which of them comes through is not said
    assert codes.count(None) <= 1
    assert batch["counts"]["total"] == 20


def test_what_is_too_large(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_upload_mb=0.1, max_batch_upload_mb=0.5, max_batch_items=3)
    batch = open_batch(gateway, files(("big.png", png(bytes(150_000))), ("small.png", png())))
    assert [(item["error"] or {}).get("code") for item in batch["items"]] == ["too_large", None]
    whole = gateway.http.post(batch["links"]["files"], files=files(*[("a.png", png(bytes(90_000)))] * 7))
    assert (whole.status_code, whole.json()["code"]) == (413, "too_large")
    gateway.http.post(batch["links"]["files"], files=files(("3.png", png())))
    full = gateway.http.post(batch["links"]["files"], files=files(("4.png", png())))
    assert (full.status_code, full.json()["code"]) == (413, "batch_full")
    assert full.json()["instance"] == batch["links"]["self"]
    assert nothing_temporary(gateway)


def test_the_same_request_again_adds_nothing(gateway: Gateway) -> None:
    parts = files(("a.png", png()), ("b.txt", b"x"), ("c.zip", zipped({"1.png": png(), "2.png": png(), "3.txt": b"x"})))
    key = {"Idempotency-Key": "k"}
    first = open_batch(gateway, parts, headers=key)
    again = open_batch(gateway, parts, headers=key)
    assert (again["id"], again["counts"]["total"], again["items"]) == (first["id"], 5, first["items"])
    other = gateway.http.post("/v1/batches", files=parts, data={"profile": "accurate"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


def test_a_file_with_a_key_is_added_once(gateway: Gateway) -> None:
    batch, document = open_batch(gateway), png()
    where = batch["links"]["files"]
    one = gateway.http.post(where, files=files("k1", ("a.png", document))).json()
    two = gateway.http.post(where, files=files("k2", ("b.png", png()), "k1", ("a.png", document))).json()
    assert [item["key"] for item in two["items"]] == ["k1", "k2"]
    assert two["items"][0]["job"] == one["items"][0]["job"]
    assert view(gateway, batch)["counts"]["total"] == 2
    other = gateway.http.post(where, files=files("k1", ("a.png", png())))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


def test_files_that_are_nothing_end_at_the_quota_too(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(tenant_records=3)
    junk = io.BytesIO()
    with zipfile.ZipFile(junk, "w") as archive:
        for n in range(9):
            archive.writestr(f"{n}.txt", b"nothing")
    answer = gateway.http.post("/v1/batches", content=junk.getvalue())
    assert (answer.status_code, answer.json()["code"]) == (429, "over_quota")
    assert "DELETE batches" in answer.json()["detail"]
    batch = gateway.http.get(answer.json()["instance"]).json()
    assert batch["counts"]["refused"] == batch["counts"]["total"] == 3
    assert gateway.submit().status_code == 202  # jobs have places of their own
    assert gateway.http.delete(answer.json()["instance"]).status_code == 204
    assert gateway.http.post("/v1/batches", files=files(("a.txt", b"x"))).status_code == 202


def test_a_quota_ends_the_request_and_what_was_taken_is_taken(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(max_queued=3)
    parts = files(*((f"{n}.png", png()) for n in range(20)))
    answer = gateway.http.post("/v1/batches", files=parts, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (503, "farm_full")
    assert int(answer.headers["retry-after"]) > 0
    where = answer.json()["instance"]
    assert gateway.http.get(where).json()["counts"]["total"] == 3
    for _ in range(3):
        gateway.read()
    more = gateway.http.post("/v1/batches", files=parts, headers={"Idempotency-Key": "k"})
    assert more.status_code == 503
    items = gateway.http.get(f"{where}/jobs").json()["items"]
    assert [item["filename"] for item in items] == [f"{n}.png" for n in range(6)]
    assert nothing_temporary(gateway)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"files": files(("a.png", b"x")), "data": {"nonsense": "1"}}, 422, "bad_option"),
        ({"files": [("file", ("a.png", png())), ("profile", (None, "fast"))]}, 422, "bad_option"),
        ({"files": files("", ("a.png", png()))}, 422, "bad_option"),
        ({"json": {"close": "maybe"}}, 422, "bad_option"),
        ({"json": [1]}, 422, "bad_option"),
        ({"data": {"profile": "fast"}}, 422, "bad_option"),
        ({"content": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422, "bad_option"),
    ],
)  # fmt: skip
def test_what_is_no_batch(gateway: Gateway, sent: dict[str, Any], status: int, code: str) -> None:
    answer = gateway.http.post("/v1/batches", **sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert nothing_temporary(gateway)


def test_files_needs_files_and_takes_no_options(gateway: Gateway) -> None:
    where = open_batch(gateway)["links"]["files"]
    assert gateway.http.post(where).json()["code"] == "missing_file"
    assert gateway.http.post(where, files={"profile": (None, "fast")}).json()["code"] == "bad_option"
    assert gateway.http.post(where, params={"profile": "fast"}, content=png()).json()["code"] == "bad_option"
    raw = gateway.http.post(where, params={"filename": "x.png"}, content=png())
    assert raw.json()["items"][0]["filename"] == "x.png"


def test_a_sender_who_hangs_up_leaves_what_he_sent(gateway: Gateway) -> None:
    batch = open_batch(gateway)

    def body() -> Any:
        boundary = b'--x\r\nContent-Disposition: form-data; name="file"; filename="%d.png"\r\n\r\n'
        for n in range(3):
            yield boundary % n + png() + b"\r\n"
            time.sleep(0.1)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        gateway.http.post(
            batch["links"]["files"], content=body(), headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
    limit = time.monotonic() + 10
    while view(gateway, batch)["counts"]["total"] < 2 or not nothing_temporary(gateway):
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_items_are_listed_as_they_end(gateway: Gateway) -> None:
    batch = open_batch(gateway, files(*((f"{n}.png", png()) for n in range(3)), ("bad", b"x")))
    where = batch["links"]["jobs"]
    listed = gateway.http.get(where, params={"limit": 3}).json()
    assert [item["number"] for item in listed["items"]] == [1, 2, 3]
    rest = gateway.http.get(where, params={"limit": 3, "cursor": listed["cursor"]}).json()
    assert ([item["number"] for item in rest["items"]], rest["cursor"]) == ([4], None)
    ended = gateway.http.get(where, params={"order": "ended"}).json()
    assert ([item["number"] for item in ended["items"]], ended["cursor"]) == ([4], "1")
    threading.Timer(0.5, gateway.read).start()
    begun = time.monotonic()
    more = gateway.http.get(where, params={"order": "ended", "cursor": ended["cursor"], "wait": 20}).json()
    assert time.monotonic() - begun < 15
    assert ([item["number"] for item in more["items"]], more["cursor"]) == ([1], "2")
    gateway.http.post(batch["links"]["close"])
    gateway.read()
    gateway.fail(Unreadable())
    last = gateway.http.get(where, params={"order": "ended", "cursor": more["cursor"]}).json()
    assert ([item["number"] for item in last["items"]], last["cursor"]) == ([2, 3], None)
    troubled = gateway.http.get(where, params={"order": "troubled"}).json()
    assert [item["number"] for item in troubled["items"]] == [3, 4]


def test_events_tell_each_item_as_it_ends_and_then_close(gateway: Gateway) -> None:
    batch = open_batch(gateway, files(("a.png", png()), ("bad", b"x"), ("c.png", png())))
    gateway.http.post(batch["links"]["close"])
    where = batch["links"]["events"]
    with stream(gateway, where) as told:
        event, item = next(told)
        assert (event, item["number"], item["state"]) == ("item", 2, "failed")
        assert next(told)[1]["state"] == "running"
        gateway.read()
        gateway.read()
        rest = [(event, data) for event, data in told if event != ":"]
    assert [data["number"] for event, data in rest if event == "item"] == [1, 3]
    assert (rest[-1][0], rest[-1][1]["state"]) == ("batch", "partial")
    with stream(gateway, where, **{"Last-Event-ID": "2"}) as told:
        assert [data.get("number") for _, data in told] == [3, None]
    assert gateway.http.get(where, headers={"Last-Event-ID": "end"}).status_code == 204


def test_results(gateway: Gateway) -> None:
    batch = open_batch(gateway, files(("a/../b?.png", png()), ("bad", b"x"), ("c.png", png()), ("d.png", png())))
    gateway.read("first\nline")
    gateway.fail(Unreadable())
    where = batch["links"]["results"]
    rows = [json.loads(line) for line in gateway.http.get(where).text.splitlines()]
    assert [(row["number"], row["state"], row["document"] and row["document"]["text"]) for row in rows] == [
        (1, "succeeded", "first\nline"), (2, "failed", None), (3, "failed", None),
    ]  # fmt: skip
    gateway.read("=SUM(A1)")
    table = list(csv.DictReader(io.StringIO(gateway.http.get(where, params={"format": "csv"}).text)))
    assert [row["text"] for row in table] == ["first\nline", "", "", "'=SUM(A1)"]
    assert [row["error_code"] for row in table] == ["", "unsupported_type", "unreadable", ""]
    assert table[0]["confidence"] == "0.9000"
    answer = gateway.http.get(where, params={"format": "zip", "document": "txt", "after": 0})
    assert "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["000001-b_.png.txt", "000004-d.png.txt", "errors.csv"]
        assert archive.read("000001-b_.png.txt") == b"first\nline"
        assert archive.read("errors.csv").count(b"\n") == 3
    assert gateway.http.get(where, params={"document": "exe"}).status_code == 422
    assert len(gateway.http.get(where, params={"after": 3}).text.splitlines()) == 1


def test_cancel_and_delete(gateway: Gateway) -> None:
    batch = open_batch(gateway, files(*((f"{n}.png", png()) for n in range(5))))
    gateway.read()
    ended = gateway.http.post(batch["links"]["cancel"])
    assert (ended.status_code, ended.json()["state"], ended.json()["counts"]["cancelled"]) == (202, "cancelled", 4)
    assert gateway.http.post(batch["links"]["cancel"]).json()["code"] == "already_ended"
    assert gateway.http.delete(batch["links"]["self"]).status_code == 204
    for path in ("self", "jobs", "results"):
        assert gateway.http.get(batch["links"][path]).status_code == 404
    assert gateway.http.get("/v1/jobs").json()["jobs"] == []
    assert gateway.http.get("/v1/batches").json()["batches"] == []


def test_batches_are_listed_newest_first(gateway: Gateway) -> None:
    made = [open_batch(gateway)["id"] for _ in range(3)]
    first = gateway.http.get("/v1/batches", params={"limit": 2}).json()
    rest = gateway.http.get("/v1/batches", params={"limit": 2, "cursor": first["cursor"]}).json()
    assert [batch["id"] for batch in first["batches"] + rest["batches"]] == made[::-1]
    assert rest["cursor"] is None


def test_an_unknown_batch(gateway: Gateway) -> None:
    for batch in ("batch_" + "0" * 32, "nonsense"):
        answer: httpx.Response = gateway.http.get(f"/v1/batches/{batch}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
