"""Pictures of the web page for the docs: `python -m tests.e2e.pictures`. A real farm reads the samples; docs/page/ gets what it looks
like."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.e2e.browser import chromium
from tests.e2e.web_page import PATIENCE_MS, open_document, row
from tests.running_farm import ROOT, RunningFarm

FOLDER = ROOT / "docs" / "page"
SAMPLES = ("letter.png", "minutes.tiff", "two-columns.png", "report.pdf", "receipt.jpg", "photo.jpg", "notice-zh.png")
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}


def visit(browser: Browser, farm: RunningFarm, **settings: Any) -> Page:
    chosen = {"locale": "en-GB", "base_url": f"http://127.0.0.1:{farm.port}", "reduced_motion": "reduce"} | settings
    page = browser.new_context(**chosen).new_page()
    page.goto("/")
    page.locator("#profile option").first.wait_for(state="attached")
    return page


def keep(page: Page, name: str) -> None:
    """In few colours: a picture of a page is no photograph, and a repository is no album."""
    time.sleep(0.5)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    FOLDER.mkdir(parents=True, exist_ok=True)
    shot.quantize(256, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)


def document(page: Page, name: str, wanted: str | None = None) -> None:
    page.goto("/#/")
    open_document(page, name)
    page.locator(".paper.pictured").wait_for(timeout=PATIENCE_MS)
    page.locator("#threshold").fill("97")
    if wanted:
        page.locator(".lines .text", has_text=wanted).hover()


def send(page: Page, folder: Path) -> None:
    """The samples, and one that is cut short; until some are read and some are not."""
    broken = folder / "torn.png"
    broken.write_bytes((ROOT / "samples" / "letter.png").read_bytes()[:5000])
    page.locator("#files").set_input_files([*(ROOT / "samples" / name for name in SAMPLES), broken])
    page.wait_for_function(
        "() => document.querySelectorAll('.doc[data-state=succeeded]').length >= 3", timeout=PATIENCE_MS
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as state, RunningFarm(Path(state) / "state") as farm, chromium() as browser:
        page = visit(browser, farm, **DESKTOP, color_scheme="light")
        keep(page, "empty-light.png")
        send(page, Path(state))
        keep(page, "documents-light.png")
        page.goto("/#/farm")
        page.locator(".plot").first.wait_for()
        time.sleep(12)  # some history for the plots
        keep(page, "farm-light.png")
        farm.wait([job["id"] for job in farm.http.get("/v1/jobs").json()["jobs"]], timeout=PATIENCE_MS / 1000)
        document(page, "receipt.jpg")
        keep(page, "document-light.png")
        farm.submit(ROOT / "samples" / "letter.png")  # from the cache

        page = visit(browser, farm, **DESKTOP, color_scheme="dark")
        row(page, "letter.png").wait_for()
        keep(page, "documents-dark.png")
        document(page, "report.pdf", "hive")
        keep(page, "document-dark.png")
        page.goto("/#/farm")
        page.locator(".plot").first.wait_for()
        keep(page, "farm-dark.png")

        page = visit(browser, farm, **PHONE, color_scheme="light", locale="zh-CN")
        row(page, "letter.png").wait_for()
        keep(page, "phone-documents-light.png")
        document(page, "notice-zh.png")
        keep(page, "phone-document-light.png")
        page = visit(browser, farm, **PHONE, color_scheme="dark")
        row(page, "letter.png").wait_for()
        keep(page, "phone-documents-dark.png")
        document(page, "photo.jpg")
        keep(page, "phone-document-dark.png")


if __name__ == "__main__":
    main()
