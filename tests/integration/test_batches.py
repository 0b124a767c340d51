"""A batch through a whole farm: read by real workers, its end told to a real receiver by the real dispatcher."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.documents import many_pages, png
from tests.running_farm import RunningFarm
from tests.unit.api.receiver import Receiver

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def test_files_and_a_zip_are_read_and_the_end_is_told(farm: RunningFarm) -> None:
    receiver = Receiver()
    files = [
        ("file", ("one.png", png("the first page", height=160))),
        ("file", ("two.pdf", many_pages(["second document", "its other page"], "PDF"))),
        ("file", ("broken.png", png("cut short")[:300])),
        ("file", ("more.zip", zipped({"in/three.png": png("third page", height=160), "in/notes.txt": b"no scan"}))),
    ]
    sent = {"webhook": f"http://127.0.0.1:{receiver.port}/done", "close": "true", "priority": "normal"}
    batch = farm.http.post("/v1/batches", files=files, data=sent).json()
    assert [item["filename"] for item in batch["items"]] == [
        "one.png",
        "two.pdf",
        "broken.png",
        "in/three.png",
        "in/notes.txt",
    ]
    receiver.wait(1, 240)
    told = json.loads(receiver.got[0][2])
    assert told == {"id": batch["id"], "state": "partial", "links": told["links"]}
    view = farm.http.get(told["links"]["self"]).json()
    assert (view["counts"]["succeeded"], view["counts"]["failed"], view["counts"]["refused"]) == (3, 1, 1)
    assert {item["filename"]: item["error"]["code"] for item in view["errors"]} == {
        "broken.png": "unreadable",
        "in/notes.txt": "unsupported_type",
    }
    rows = list(csv.DictReader(io.StringIO(farm.http.get(told["links"]["results"], params={"format": "csv"}).text)))
    texts = {row["filename"]: row["text"] for row in rows}
    assert texts["one.png"] == "the first page"
    assert texts["in/three.png"] == "third page"
    assert texts["two.pdf"].split("\f") == ["second document", "its other page"]
    receiver.close()


def test_the_command_reads_a_folder(farm: RunningFarm, tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for n in range(6):
        (scans / f"{n}.png").write_bytes(png(f"folder page {n}", height=160))
    (scans / "6.png").write_bytes(b"no picture")
    url = str(farm.http.base_url)
    command = [sys.executable, "-m", "ocrfarm", "batch", str(scans), "--out", str(out), "--url", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, "6 of 7 read" in done.stderr) == (1, True), done.stderr
    assert (out / "3.png.txt").read_text() == "folder page 3"
