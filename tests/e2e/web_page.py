"""What the tests of the web page do with it: drop files, find rows, wait."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from playwright.sync_api import Locator, Page

PATIENCE_MS = 240_000  # two busy cores read a page in seconds, on a bad day in many

_DROP = """files => {
  const transfer = new DataTransfer();
  for (const [name, type, text] of files) {
    transfer.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name, { type }));
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.querySelector("#drop").dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  }
}"""


def drop(page: Page, files: Mapping[str, bytes]) -> None:
    """Let go of these files over the page, all at once, as a hand does."""
    kinds = {"png": "image/png", "pdf": "application/pdf"}
    page.evaluate(_DROP, [[n, kinds[n[-3:]], base64.b64encode(data).decode()] for n, data in files.items()])


def row(page: Page, name: str) -> Locator:
    """The newest row of a document of that name."""
    return page.locator(".doc").filter(has=page.locator(".name").get_by_text(name, exact=True)).first


def wait_state(page: Page, name: str, *states: str) -> None:
    wanted = ", ".join(f'.doc[data-state="{state}"]' for state in states)
    found = page.locator(wanted).filter(has=page.locator(".name").get_by_text(name, exact=True)).first
    found.wait_for(timeout=PATIENCE_MS)


def open_document(page: Page, name: str) -> None:
    row(page, name).locator("a.name").click()
    page.locator("#h-document").get_by_text(name, exact=True).wait_for()
    page.locator(".lines li").first.wait_for(timeout=PATIENCE_MS)


def line_texts(page: Page) -> list[str]:
    return page.locator(".lines .text").all_inner_texts()
