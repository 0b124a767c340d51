"""A model that somebody brought, through a real farm: added by the command, known to the gateway, read with by a real worker."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.running_farm import ROOT, RunningFarm

pytestmark = pytest.mark.farm
DATA = ROOT / "tests" / "data" / "own_models"


def line(text: str) -> bytes:
    """A line of print as PNG."""
    font = ImageFont.load_default(32)
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    image = Image.new("RGB", (right - left + 12, bottom - top + 12), "white")
    ImageDraw.Draw(image).text((6 - left, 6 - top), text, "black", font)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFarm]:
    farm = RunningFarm(tmp_path_factory.mktemp("own") / "state", workers=1, preload="house-numbers")
    words = [
        f"--{kind}={DATA / f'keras_ocr.{end}'}"
        for kind, end in (("onnx", "onnx"), ("charset", "txt"), ("spec", "toml"))
    ]
    added = subprocess.run(
        [sys.executable, "-m", "ocrfarm", "models", "add", "house-numbers", *words],
        env=farm.environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    with farm:
        yield farm


def test_the_gateway_knows_the_profile(farm: RunningFarm) -> None:
    found = {profile["name"]: profile for profile in farm.http.get("/v1/profiles").json()}
    assert found["house-numbers"]["models"] == ["house-numbers"]
    assert not found["house-numbers"]["default"]


def test_a_worker_reads_with_it(farm: RunningFarm) -> None:
    jobs = {farm.submit(line(said), profile="house-numbers"): said for said in ("17b", "204", "9c3")}
    views = farm.wait(jobs)
    assert {view["state"] for view in views.values()} == {"succeeded"}
    assert {farm.text(job).strip() for job in jobs} == set(jobs.values())
    assert all(farm.document(job)["models"] == ["house-numbers"] for job in jobs)


def test_the_cache_answers_for_that_profile_alone(farm: RunningFarm) -> None:
    data = line("42x7")
    farm.wait([farm.submit(data, profile="house-numbers")])
    again = farm.http.post("/v1/jobs", files={"file": ("again.png", data)}, data={"profile": "house-numbers"})
    assert again.json()["cached"] is True
    other = farm.submit(data, profile="crnn-captcha")
    assert farm.wait([other])[other]["cached"] is False


def test_a_profile_of_lines_refuses_pages(farm: RunningFarm) -> None:
    answer = farm.http.post(
        "/v1/jobs", files={"file": ("page.png", line("1"))}, data={"profile": "house-numbers", "layout": "page"}
    )
    assert answer.status_code == 422
    assert "single lines" in answer.text
