"""Debian's chromium, driven by Playwright. A machine without one skips the tests that need it; CI fails them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def chromium_program() -> str:
    """Its path; `OCRFARM_TEST_CHROMIUM` names another."""
    found = os.environ.get("OCRFARM_TEST_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if not found:
        if os.environ.get("CI"):
            pytest.fail("no chromium here; CI must have one")
        pytest.skip("no chromium here: install Debian's package chromium")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    program = chromium_program()
    with sync_playwright() as playwright:
        # Its sandbox wants a user of its own, and containers that run as root have none; /dev/shm is small in them.
        arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()
