"""Pages for fault tests, and what is asked of them again and again."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import psutil

from tests.documents import page, png
from tests.faults.inject import sitecustomize as inject
from tests.running_farm import RunningFarm


def quick(text: str) -> bytes:
    return png(text, width=900, height=160)


def slow(text: str) -> bytes:
    """Two seconds in a process' hands, asleep, before it is read: mid-page is easy to meet."""
    return png(text, width=inject.TAKES_TWO_SECONDS, height=160)


def slow_document(pages: int) -> bytes:
    """A TIFF whose every page takes two seconds and a little."""
    first, *rest = (page(f"Page {n}", width=inject.TAKES_TWO_SECONDS, height=160) for n in range(1, pages + 1))
    out = io.BytesIO()
    first.save(out, "TIFF", save_all=True, append_images=rest, compression="tiff_deflate")
    return out.getvalue()


def submit_numbered(farm: RunningFarm, count: int, make: Callable[[str], bytes] = quick) -> list[str]:
    """Jobs that each say their number, past the cache."""
    return [farm.submit(make(f"Page number {100 + n}"), cache="off") for n in range(count)]


def check_numbered(farm: RunningFarm, jobs: list[str], views: dict[str, dict[str, Any]]) -> None:
    """All succeeded, each with its own text."""
    assert {v["state"] for v in views.values()} == {"succeeded"}, views
    assert [farm.text(job).split()[-1] for job in jobs] == [str(100 + n) for n in range(len(jobs))]


def until(what: Callable[[], Any], timeout: float, said: str) -> float:
    """Wait until it is true, through a gateway that is away; the seconds that it took."""
    begun = time.monotonic()
    while True:
        try:
            if what():
                return time.monotonic() - begun
        except (httpx.TransportError, httpx.HTTPStatusError, KeyError, psutil.Error):
            pass
        assert time.monotonic() < begun + timeout, said
        time.sleep(0.05)


def wait_running(farm: RunningFarm, jobs: Iterable[str], at_least: int = 1, timeout: float = 60) -> list[str]:
    """Those of the jobs that are being read, once there are so many."""
    found: list[str] = []

    def enough() -> bool:
        found[:] = [job for job in jobs if farm.job(job)["state"] == "running"]
        return len(found) >= at_least

    until(enough, timeout, f"not {at_least} of the jobs were ever running at once")
    return found


def idle(farm: RunningFarm) -> bool:
    state = farm.http.get("/v1/farm").json()
    return bool(state["queued_units"] == 0 and state["running_units"] == 0)


def stale_writes(farm: RunningFarm) -> int:
    found = re.search(r"^ocrfarm_stale_writes_total (\d+)", farm.http.get("/metrics").text, re.M)
    return int(found[1]) if found else 0
