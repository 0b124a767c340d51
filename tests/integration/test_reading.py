"""Documents through a real farm."""

from __future__ import annotations

import io
import re
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from tests.documents import many_pages, page, png
from tests.running_farm import RunningFarm

pytestmark = pytest.mark.farm


def unique(text: str) -> str:
    """A text that no other test sends, so that no cache answers."""
    return f"{text}\nNumber {secrets.randbelow(10**6):06d}"


def read(farm: RunningFarm, data: bytes, **fields: str) -> tuple[dict, str]:
    job = farm.submit(data, **fields)
    view = farm.wait([job])[job]
    return view, farm.text(job) if view["state"] in ("succeeded", "partial") else ""


def test_a_page(farm: RunningFarm) -> None:
    said = unique("The quick brown fox jumps")
    view, text = read(farm, png(said))
    assert view["state"] == "succeeded"
    assert view["attempt"] == 1
    assert text.split() == said.split()


def test_polygons_are_in_pixels_of_the_page_as_sent(farm: RunningFarm) -> None:
    job = farm.submit(png(unique("Where am I written"), width=1200, height=500))
    farm.wait([job])
    document = farm.document(job)
    (only,) = document["pages"]
    assert (only["width"], only["height"]) == (1200, 500)
    top = only["lines"][0]
    xs, ys = zip(*top["polygon"], strict=True)
    assert 20 <= min(xs) <= 60
    assert 20 <= min(ys) <= 70
    assert max(ys) <= 130
    assert [w["text"] for w in top["words"]] == ["Where", "am", "I", "written"]
    lefts = [min(x for x, _ in w["polygon"]) for w in top["words"]]
    assert lefts == sorted(lefts)


@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_pages_of_a_document_in_order(farm: RunningFarm, kind: str) -> None:
    said = [unique(f"This is page {n}") for n in range(1, 8)]
    job = farm.submit(many_pages(said, kind), name=f"x.{kind.lower()}")
    view = farm.wait([job])[job]
    assert view["state"] == "succeeded", view
    assert view["progress"] == {"pages_done": 7, "pages_total": 7}
    assert [p.split() for p in farm.text(job).split("\f")] == [s.split() for s in said]


def test_chosen_pages_alone(farm: RunningFarm) -> None:
    said = [unique(f"This is page {n}") for n in range(1, 6)]
    job = farm.submit(many_pages(said, "PDF"), name="x.pdf", pages="2,4-")
    assert farm.wait([job])[job]["progress"]["pages_total"] == 3
    document = farm.document(job)
    assert [p["number"] for p in document["pages"]] == [2, 4, 5]
    assert document["page_count"] == 5


def test_the_same_again_is_answered_from_the_cache(farm: RunningFarm) -> None:
    data = png(unique("Read me once"))
    first = farm.submit(data)
    farm.wait([first])
    answer = farm.http.post("/v1/jobs", files={"file": ("again.png", data)})
    assert answer.status_code == 200
    assert answer.json()["cached"] is True
    assert answer.json()["state"] == "succeeded"
    assert farm.text(answer.json()["id"]) == farm.text(first)
    view, _ = read(farm, data, cache="refresh")
    assert view["cached"] is False


def test_fifty_of_the_same_at_once_are_read_once(farm: RunningFarm) -> None:
    data = png(unique("All of us want this page"))
    before = _pages_read(farm)
    with ThreadPoolExecutor(16) as pool:
        jobs = list(pool.map(lambda _: farm.submit(data), range(50)))
    views = farm.wait(jobs)
    assert {v["state"] for v in views.values()} == {"succeeded"}
    assert len({farm.text(j) for j in jobs}) == 1
    assert _pages_read(farm) - before == 1


def _pages_read(farm: RunningFarm) -> int:
    return int(farm.http.get("/v1/farm").json()["pages_total"])


def test_an_empty_page_is_no_failure(farm: RunningFarm) -> None:
    out = io.BytesIO()
    Image.new("RGB", (640, 480 + secrets.randbelow(200)), "white").save(out, "PNG")
    view, text = read(farm, out.getvalue(), cache="off")
    assert view["state"] == "succeeded"
    assert text.strip() == ""


def test_one_line_without_detection(farm: RunningFarm) -> None:
    view, text = read(farm, png("Hello world 42", width=360, height=70, size=36), layout="line", cache="off")
    assert view["state"] == "succeeded"
    assert "\n" not in text.strip()
    assert "Hello world 42" in text or "ello" in text


@pytest.mark.parametrize("profile", ["accurate", "accurate-int8"])
def test_profiles(farm: RunningFarm, profile: str) -> None:
    said = unique("Profiles read the same page")
    job = farm.submit(png(said), profile=profile)
    farm.wait([job])
    assert farm.text(job).split() == said.split()
    models = farm.document(job)["models"]
    assert models
    assert all(m.endswith("-int8") == (profile == "accurate-int8") for m in models)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format(farm: RunningFarm, kind: str) -> None:
    said = unique("Formats are many")
    out = io.BytesIO()
    page(said).save(out, kind)
    view, text = read(farm, out.getvalue())
    assert view["state"] == "succeeded", view
    assert text.split() == said.split()


def test_metrics_move(farm: RunningFarm) -> None:
    read(farm, png(unique("Count me")))
    metrics = farm.http.get("/metrics").text
    assert re.search(r"^ocrfarm_\w*pages\w*(\{[^}]*\})? [1-9]", metrics, re.M), metrics[:2000]
