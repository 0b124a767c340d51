"""The web page in a real browser, on a real farm with real models."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.documents import many_pages, png
from tests.e2e.browser import chromium, chromium_program
from tests.e2e.web_page import PATIENCE_MS, drop, line_texts, open_document, row, wait_state
from tests.running_farm import RunningFarm

expect.set_options(timeout=30_000)
pytestmark = [pytest.mark.farm, pytest.mark.slow, pytest.mark.timeout(900)]

WORDS = ["amber", "birch", "cedar", "delta", "ember", "fable", "grove", "heron", "ivory", "jolly", "knoll", "lilac"]
WORDS += ["maple", "nylon", "olive", "pearl", "quilt"]
HOSTILE = "<img src=x onerror=alert(1)>.png"
PDF_LINES = ["First page of three", "Second page of three", "Third page of three"]


def twenty() -> dict[str, bytes]:
    """Seventeen pictures of one word, one with a hostile name, a PDF of three pages, a picture that is cut short."""
    files = {f"{word}.png": png(word, width=360, height=110) for word in WORDS}
    files[HOSTILE] = png("Harmless", width=360, height=110)
    files["three.pdf"] = many_pages(PDF_LINES, "PDF")
    files["broken.png"] = png("Cut short")[:400]
    return {"broken.png": files.pop("broken.png"), "three.pdf": files.pop("three.pdf"), **files}


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFarm]:
    chromium_program()
    with RunningFarm(tmp_path_factory.mktemp("page") / "state") as farm:
        yield farm


@pytest.fixture(scope="module")
def browser(farm: RunningFarm) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(farm: RunningFarm, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page in a browser of its own (storage, settings); whatever it complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def make(**settings: Any) -> Page:
        chosen = {"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, "color_scheme": "light"} | settings
        context = browser.new_context(base_url=f"http://127.0.0.1:{farm.port}", **chosen)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.goto("/")
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def names(farm: RunningFarm) -> list[str]:
    return sorted(job["filename"] for job in farm.http.get("/v1/jobs", params={"limit": 200}).json()["jobs"])


def test_twenty_documents_through_a_reload(visit: Callable[..., Page], farm: RunningFarm) -> None:
    page = visit()
    files = twenty()
    sent, held = [0], []

    def some(route: Route) -> None:
        sent[0] += 1
        if sent[0] <= 12:
            route.continue_()
        else:
            held.append(route)  # on its way, until the page is left

    page.route("**/v1/jobs", lambda route: some(route) if route.request.method == "POST" else route.continue_())
    drop(page, files)
    expect(page.locator(".doc")).to_have_count(20)
    expect(page.locator("#overall-text")).to_contain_text(re.compile(r"\d+ of 20 documents done"))
    page.wait_for_function("() => document.querySelectorAll('.doc a.name').length >= 12", timeout=PATIENCE_MS)
    wait_state(page, "broken.png", "failed")  # some have ended, some are read, some never left
    for route in held:
        route.abort()
    page.unroute_all(behavior="ignoreErrors")
    readers = farm.readers()
    for reader in readers:
        reader.suspend()  # so that what comes now is still queued when it is cancelled
    page.reload()
    page.wait_for_function("() => document.querySelectorAll('.doc a.name').length === 20", timeout=PATIENCE_MS)
    assert names(farm) == sorted(files)  # each once

    last = list(files)[-1]
    wait_state(page, last, "queued")
    row(page, last).get_by_role("button", name="Cancel").click()
    wait_state(page, last, "cancelled")
    for reader in readers:
        reader.resume()

    page.wait_for_function(
        "() => !document.querySelector('.doc[data-state=queued], .doc[data-state=running]')", timeout=PATIENCE_MS
    )
    for name in files:
        wanted = {"broken.png": "failed", last: "cancelled"}.get(name, "succeeded")
        expect(row(page, name)).to_have_attribute("data-state", wanted)
    expect(row(page, "broken.png")).to_contain_text("damaged or cut short")
    expect(row(page, "three.pdf")).to_contain_text("3 pages")
    expect(row(page, HOSTILE)).to_be_visible()  # as text: no picture was made of it, no dialog came

    # Again: a new job; and one is thrown away.
    row(page, last).get_by_role("button", name="Read again").click()
    wait_state(page, last, "succeeded")
    row(page, "broken.png").get_by_role("button", name="Delete").click()
    expect(page.locator(".doc .name").get_by_text("broken.png")).to_have_count(0)
    assert "broken.png" not in names(farm)


def test_reading_marking_correcting_saving(visit: Callable[..., Page]) -> None:
    page = visit()
    open_document(page, "three.pdf")
    assert line_texts(page) == [PDF_LINES[0]]
    page.locator(".paper.pictured img").wait_for(timeout=PATIENCE_MS)
    picture = page.locator(".paper img").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert picture[0] / picture[1] == pytest.approx(3, rel=0.02)

    # The box lies over the ink, and picture and text point at each other.
    box, line = page.locator(".box"), page.locator(".lines li")
    expect(box).to_have_count(1)
    paper, drawn = page.locator(".paper").bounding_box(), box.bounding_box()
    assert paper is not None
    assert drawn is not None
    assert (drawn["x"] - paper["x"]) / paper["width"] == pytest.approx(40 / 900, abs=0.02)
    line.locator(".text").hover()
    expect(box).to_have_class(re.compile("pointed"))
    page.locator("#h-document").hover()
    expect(box).not_to_have_class(re.compile("pointed"))
    box.hover(force=True)
    expect(line).to_have_class(re.compile("pointed"))
    box.click(force=True)
    expect(line.locator(".text")).to_be_focused()
    expect(box).to_have_class(re.compile("picked"))

    # What is doubtful is a matter of the threshold.
    expect(line).not_to_have_class(re.compile("low"))
    page.locator("#threshold").fill("100")
    expect(line).to_have_class(re.compile("low"))
    expect(box).to_have_class(re.compile("low"))
    expect(page.locator("output[for=threshold]")).to_contain_text("1 line marked")
    page.locator("#threshold").fill("20")

    # Pages, zoom, search over all pages.
    width = paper["width"]
    page.get_by_role("button", name="Larger").click()
    assert page.locator(".paper").bounding_box()["width"] > 1.2 * width  # type: ignore[index]
    page.get_by_role("button", name="Next page").click()
    expect(page.locator(".lines .text")).to_have_text([PDF_LINES[1]])
    assert page.url.endswith("/2")
    page.get_by_role("searchbox").fill("PAGE OF")
    expect(page.get_by_text("2 of 3", exact=True)).to_be_visible()
    page.get_by_role("button", name="Next match").click()
    expect(page.locator(".lines .text")).to_have_text([PDF_LINES[2]])
    page.get_by_role("searchbox").fill("nowhere")
    expect(page.get_by_text("not found")).to_be_visible()

    # A correction stays in the browser, also over a reload, and goes into the text that is saved.
    page.go_back()
    page.locator(".lines .text").fill("Second page, corrected")
    page.locator("#h-document").click()
    expect(page.locator(".edits")).to_contain_text("1 line edited")
    page.reload()
    expect(page.locator(".lines .text")).to_have_text(["Second page, corrected"])
    saved = {}
    for form in page.locator(".menu button").evaluate_all("all => all.map(one => one.dataset.form)"):
        page.locator(".menu summary").click()
        with page.expect_download(timeout=100_000) as waiting:
            page.locator(f".menu button[data-form={form}]").click()
        saved[form] = Path(waiting.value.path()).read_bytes()
        assert waiting.value.suggested_filename.startswith("three.pdf.")
    assert set(saved) == {"txt", "md", "json", "tsv", "hocr", "alto", "pdf"}
    assert saved["txt"].decode() == "\f".join([PDF_LINES[0], "Second page, corrected", PDF_LINES[2]])
    assert [p["lines"][0]["text"] for p in json.loads(saved["json"])["pages"]] == PDF_LINES
    assert saved["pdf"].startswith(b"%PDF")
    for form in ("md", "hocr", "alto", "tsv"):
        assert b"Third" in saved[form]
    page.get_by_role("button", name="Undo all edits").click()
    expect(page.locator(".lines .text")).to_have_text([PDF_LINES[1]])


def test_with_a_keyboard_alone(visit: Callable[..., Page]) -> None:
    page = visit()
    row(page, "amber.png").wait_for()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        if reached[-1] == "three.pdf":
            break
    assert {"pick", "pick-folder", "profile", "layout", "three.pdf"} <= set(reached)
    page.keyboard.press("Enter")
    expect(page.locator("#h-document")).to_be_focused()
    page.locator(".lines li").first.wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "textbox":
            break
    expect(page.locator(".lines .text").first).to_be_focused()
    expect(page.locator(".box.picked")).to_have_count(1)
    page.keyboard.type("Typed: ")
    page.keyboard.press("Escape")
    expect(page.locator(".lines .text").first).to_have_text(PDF_LINES[0])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Callable[..., Page], farm: RunningFarm, scheme: str) -> None:
    """Every view, with documents in every state that is there: no violation of any of axe's rules."""
    page = visit(color_scheme=scheme, reduced_motion="reduce")
    farm.submit(png("Cut short")[:300], name="torn.png", cache="off")
    wait_state(page, "torn.png", "failed")

    def check(where: str) -> None:
        said = Axe().run(page).response
        assert len(said["passes"]) > 15  # the rules did run
        found = said["violations"]
        told = [(v["id"], [(n["html"][:200], n["failureSummary"]) for n in v["nodes"][:3]]) for v in found]
        assert told == [], f"{where}, {scheme}"

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") in ("rgb(245, 247, 244)", "rgb(17, 21, 19)")
    check("documents")
    open_document(page, "three.pdf")
    page.locator("#threshold").fill("100")
    page.locator(".menu summary").click()
    check("document")
    page.goto("/#/farm")
    page.locator(".plot").first.wait_for()
    check("farm")
    page.goto("/docs")
    page.locator("#calls details").first.wait_for()
    check("docs")


def test_on_a_phone_in_chinese(visit: Callable[..., Page]) -> None:
    page = visit(viewport={"width": 390, "height": 844}, locale="zh-CN", has_touch=True, is_mobile=True)
    expect(page.get_by_role("link", name="文档")).to_be_visible()
    row(page, "three.pdf").wait_for()

    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    assert fits()
    page.evaluate("scrollTo(0, 400)")
    before = page.evaluate("scrollY")
    assert before > 100
    page.locator("a.name", has_text="three.pdf").first.evaluate("link => link.click()")
    page.locator(".lines li").first.wait_for()
    assert page.evaluate("scrollY") == 0  # a document begins at its beginning
    assert fits()
    page.go_back()
    row(page, "three.pdf").wait_for()
    assert page.evaluate("scrollY") == before  # and the list is where it was
    page.goto("/#/farm")
    page.locator(".plot").first.wait_for()
    assert fits()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Farm")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Farm")).to_be_visible()  # it is remembered
    dark = "document.documentElement.dataset.theme"
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(dark) == "dark"


def test_where_no_stream_comes_it_polls(visit: Callable[..., Page]) -> None:
    page = visit()
    page.route("**/v1/events*", lambda route: route.abort())
    drop(page, {"polled.png": png("Polled", width=360, height=110)})
    wait_state(page, "polled.png", "succeeded")
    open_document(page, "polled.png")
    assert line_texts(page) == ["Polled"]


def test_a_farm_that_says_nothing_is_not_idle(visit: Callable[..., Page]) -> None:
    """Nobody refuses the connection, and nobody answers: a gateway that hangs, a network that swallows."""
    page = visit()
    lamp = page.locator("#lamp")
    expect(lamp).to_have_class("lamp up")
    page.route("**/v1/farm", lambda route: None)
    expect(lamp).to_have_class("lamp down", timeout=60_000)
    expect(lamp).to_contain_text("does not answer")
    page.unroute_all(behavior="ignoreErrors")
    expect(lamp).to_have_class("lamp up", timeout=60_000)


def test_with_keys_on_it_asks_and_waits(visit: Callable[..., Page], farm: RunningFarm) -> None:
    """The last test here: from now on this farm asks everybody for a key."""
    made = farm.http.post("/v1/keys", json={"tenant": "desk", "quota": {"jobs_per_minute": 2}})
    assert made.status_code == 201, made.text
    page = visit()
    page.get_by_label("This farm asks for an API key").fill("ocr_nothing_like_it")
    page.get_by_role("button", name="Use it").click()
    page.get_by_label("does not hold").fill(made.json()["key"])
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("#empty")).to_be_visible()  # another tenant's documents are not shown
    drop(page, {f"{word}.png": png(f"With {word}", width=420, height=110) for word in ("one", "two", "three")})
    expect(page.get_by_text("the farm is busy; goes on in")).to_be_visible()  # the third has to wait: Retry-After
    wait_state(page, "one.png", "succeeded")
    open_document(page, "one.png")
    page.locator(".paper.pictured img").wait_for(timeout=PATIENCE_MS)
    assert page.evaluate("sessionStorage['ocrfarm-key']") == made.json()["key"]
    assert page.evaluate("localStorage['ocrfarm-key']") is None
    time.sleep(0.5)
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("This farm asks for an API key")).to_be_visible()
