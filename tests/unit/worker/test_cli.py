"""`ocrfarm read`, as a person calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrfarm_models.engines import Engines

SAMPLES = Path(__file__).parents[3] / "samples"


def ocrfarm(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ocrfarm", *map(str, words)], capture_output=True, text=True, timeout=240, check=False
    )


def test_good_and_bad_files(tmp_path: Path, engines: Engines) -> None:
    cut, empty, missing = tmp_path / "cut.jpg", tmp_path / "empty.png", tmp_path / "missing.pdf"
    cut.write_bytes((SAMPLES / "receipt.jpg").read_bytes()[:20_000])
    empty.write_bytes(b"")
    done = ocrfarm("read", cut, empty, SAMPLES / "minutes.tiff", missing, "--profile", "accurate")
    assert done.returncode == 1
    golden = (SAMPLES / "golden" / "minutes.tiff.txt").read_text("utf8")
    assert done.stdout == f"--- {SAMPLES / 'minutes.tiff'}\n{golden}"
    complaints = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in complaints] == [str(cut), str(empty), str(missing)]
    assert "cut short" in complaints[0]
    assert "0 bytes" in complaints[1]
    assert "There is no file " in complaints[2]


def test_json_holds_what_the_farm_would_answer(engines: Engines) -> None:
    done = ocrfarm("read", SAMPLES / "minutes.tiff", "--profile", "accurate", "--format", "json", "--pages", "1")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["page_count"] == 2
    (page,) = document["pages"]
    assert page["number"] == 1
    assert page["lines"][0]["text"] == "Society for Lost Umbrellas"
    assert len(page["lines"][0]["words"]) == 4
    assert document["models"] == ["ppocrv6-rec"]


def test_a_wrong_choice_is_one_sentence() -> None:
    profile = ocrfarm("read", SAMPLES / "receipt.jpg", "--profile", "nonesuch")
    assert profile.returncode == 1
    assert "nonesuch" in profile.stderr
    assert "Traceback" not in profile.stderr
    pages = ocrfarm("read", SAMPLES / "receipt.jpg", "--pages", "two")
    assert pages.returncode == 2
    assert "pages" in pages.stderr


def test_models_that_are_made_first_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRFARM_MODEL_FOLDER", str(tmp_path / "models"))
    for expected in (True, False):
        done = ocrfarm("read", SAMPLES / "minutes.tiff", "--profile", "accurate", "--pages", "1")
        assert done.returncode == 0, done.stderr
        assert ("ocrfarm read: ppocrv6-rec: " in done.stderr) is expected
        assert (str(tmp_path / "models") in done.stderr) is expected
        assert "Society for Lost Umbrellas" in done.stdout


def test_a_captcha_is_read_by_the_profile_of_its_model(tmp_path: Path) -> None:
    """The recogniser alone: no detector looks for lines, and nothing is built."""
    image = Image.new("L", (200, 50), "white")
    ImageDraw.Draw(image).text((30, 5), "d2mx7", 0, ImageFont.load_default(40))
    image.save(tmp_path / "captcha.png")
    done = ocrfarm("read", tmp_path / "captcha.png", "--profile", "crnn-captcha", "--format", "json")
    assert done.returncode == 0, done.stderr
    (page,) = json.loads(done.stdout)["pages"]
    assert page["models"] == ["crnn-captcha"]
    assert "detect" not in page["timings_ms"]
    (line,) = page["lines"]
    assert len(line["text"]) == 5
    assert set(line["text"]) <= set("2345678bcdefgmnpwxy")


def test_a_searchable_pdf_in_a_folder(tmp_path: Path) -> None:
    done = ocrfarm(
        "read", SAMPLES / "minutes.tiff", "--profile", "accurate", "--format", "pdf", "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    document = pdfium.PdfDocument(tmp_path / "out" / "minutes.tiff.pdf")
    assert "Society for Lost Umbrellas" in document[0].get_textpage().get_text_bounded()
    document.close()
    several = ocrfarm("read", SAMPLES / "minutes.tiff", SAMPLES / "letter.png", "--format", "pdf")
    assert several.returncode == 2
    assert "--out" in several.stderr
