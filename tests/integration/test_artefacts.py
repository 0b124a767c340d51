"""What workers make of documents on first asking, on a real farm."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import httpx
import numpy as np
import pypdfium2 as pdfium
import pytest
from PIL import Image

from tests.documents import many_pages, page, png
from tests.integration.test_reading import unique
from tests.running_farm import RunningFarm

pytestmark = pytest.mark.farm


def ready(farm: RunningFarm, path: str, timeout: float = 90) -> httpx.Response:
    """Asked for as the answers say, until it is there."""
    limit = time.monotonic() + timeout
    while (answer := farm.http.get(path)).status_code == 202:
        assert time.monotonic() < limit, "it was never made"
        time.sleep(float(answer.headers["retry-after"]))
    return answer


def sent(farm: RunningFarm, data: bytes, **fields: Any) -> str:
    job = farm.submit(data, **fields)
    farm.wait([job])
    return job


def as_pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L")).astype(int)


def test_a_page_is_shown_upright_and_the_polygons_lie_on_its_writing(farm: RunningFarm) -> None:
    """Sent on its side with the EXIF note that says so."""
    upright = page(unique("Where am I written"), width=1200, height=500).convert("RGB")
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(out, "JPEG", quality=95, exif=exif)
    job = sent(farm, out.getvalue(), name="x.jpg")
    shown = as_pixels(ready(farm, f"/v1/jobs/{job}/image?width=800"))
    (only,) = farm.document(job)["pages"]
    assert (only["width"], only["height"]) == (1200, 500)
    assert shown.shape[1] == 800
    scale = 800 / only["width"]
    ink = shown < 128
    inside = np.zeros_like(ink)
    for line in only["lines"]:
        xs, ys = zip(*line["polygon"], strict=True)
        inside[int(min(ys) * scale) : int(max(ys) * scale) + 1, int(min(xs) * scale) : int(max(xs) * scale) + 1] = True
    assert (ink & inside).sum() > 0.97 * ink.sum()


def test_a_pdf_page_as_it_was_rendered(farm: RunningFarm) -> None:
    job = sent(farm, many_pages([unique(f"This is page {n}") for n in range(1, 4)], "PDF"), name="x.pdf")
    second = farm.document(job)["pages"][1]
    shown = as_pixels(ready(farm, f"/v1/jobs/{job}/image?page=2&width=3200&format=png&wait=30"))
    assert shown.shape == (second["height"], second["width"]) or shown.shape[1] == 3200
    missing = ready(farm, f"/v1/jobs/{job}/image?page=9")
    assert (missing.status_code, missing.json()["code"]) == (422, "no_such_page")


@pytest.mark.parametrize("kind", ["JPEG", "PDF"])
def test_a_searchable_pdf(farm: RunningFarm, kind: str) -> None:
    """Every word of the result is found by an extractor of text, within 5 pixels of its box."""
    said = unique("Find the words here")
    out = io.BytesIO()
    page(said).save(out, kind, **({"resolution": 100} if kind == "PDF" else {}))
    job = sent(farm, out.getvalue(), name=f"a b.{kind.lower()}")
    answer = ready(farm, f"/v1/jobs/{job}/result?format=pdf")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf"), answer.text
    assert answer.headers["content-disposition"].startswith('attachment; filename="a b.')
    (read,) = farm.document(job)["pages"]
    document = pdfium.PdfDocument(answer.content)
    layer, (width, height) = document[0].get_textpage(), document[0].get_size()
    assert layer.get_text_bounded().split() == said.split()
    for word in (w for line in read["lines"] for w in line["words"]):
        first, count = layer.search(word["text"], match_case=True).get_next()
        boxes = [layer.get_charbox(first + n) for n in range(count)]
        found = (min(b[0] for b in boxes) / width * read["width"], (1 - max(b[3] for b in boxes) / height) * read["height"],
                 max(b[2] for b in boxes) / width * read["width"], (1 - min(b[1] for b in boxes) / height) * read["height"])  # fmt: skip
        xs, ys = zip(*word["polygon"], strict=True)
        wanted = (min(xs), min(ys), max(xs), max(ys))
        assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= 5, (word, found)
    document.close()


def test_a_damaged_document_has_no_pdf_and_the_job_says_why(farm: RunningFarm) -> None:
    job = sent(farm, b"%PDF-1.7\n" + b"x" * 400, name="x.pdf")
    answer = farm.http.get(f"/v1/jobs/{job}/result?format=pdf")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "unreadable")


def test_it_goes_with_its_job(farm: RunningFarm) -> None:
    job = sent(farm, png(unique("Delete me whole")))
    assert ready(farm, f"/v1/jobs/{job}/image").status_code == 200
    with farm.redis() as ledger:  # the picture of this job's own run; the other tests here have had some made, too
        (made,) = ledger.hvals(f"of:run:{ledger.hget(f'of:job:{job}', 'run').decode()}:m")
    tenant, content = json.loads(made)["blob"].split("/")
    path = farm.state / "blobs" / tenant / content[:2] / content
    assert path.exists()
    farm.http.delete(f"/v1/jobs/{job}")
    assert farm.http.get(f"/v1/jobs/{job}/image").status_code == 404
    limit = time.monotonic() + 150  # unlinked a minute after, by the dispatcher
    while path.exists():
        assert time.monotonic() < limit, "the picture of a deleted job is still there"
        time.sleep(0.5)
