"""Small pictures that travel together: one that is bad spoils none of the others."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.faults.inject import sitecustomize as inject
from tests.faults.pages import check_numbered, slow, submit_numbered
from tests.running_farm import RunningFarm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(400)]


def line(text: str, width: int = 900) -> bytes:
    """A picture that is plainly a line."""
    image, out = Image.new("RGB", (width, 72), "white"), io.BytesIO()
    ImageDraw.Draw(image).text((20, 8), text, fill="black", font=ImageFont.load_default(48))
    image.save(out, "PNG")
    return out.getvalue()


def together(farm: RunningFarm, bad: bytes) -> tuple[str, list[str], dict[str, dict]]:
    """A bad picture among eleven good ones, all waiting behind a page that takes two seconds, in a farm of one process."""
    first = farm.submit(slow("Somebody reads me first"), cache="off", layout="page")
    good = submit_numbered(farm, 5, line)
    worse = farm.submit(bad, cache="off")
    good += [farm.submit(line(f"Page number {105 + n}"), cache="off") for n in range(6)]
    views = farm.wait([first, worse, *good])
    return worse, good, views


def test_one_that_kills_its_process(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm(workers=1)
    bad, good, views = together(farm, line("I kill whoever reads me", inject.DIES))
    check_numbered(farm, good, {job: views[job] for job in good})
    assert (views[bad]["error"]["code"], views[bad]["attempt"]) == ("worker_lost", 3)
    attempts = [views[job]["attempt"] for job in good]
    assert 2 in attempts, "none of them travelled with it"
    assert max(attempts) == 2, "they were read alone the second time"


@pytest.mark.parametrize(("width", "code"), [(inject.RAISES, "internal"), (inject.RUNS_OUT_OF_MEMORY, "out_of_memory")])
def test_one_that_raises(start_farm: Callable[..., RunningFarm], width: int, code: str) -> None:
    farm = start_farm(workers=1)
    bad, good, views = together(farm, line("I raise", width))
    check_numbered(farm, good, {job: views[job] for job in good})
    assert views[bad]["error"]["code"] == code
    assert [views[job]["attempt"] for job in good] == [1] * len(good), "only the bad one is tried again"


def test_one_that_is_broken(start_farm: Callable[..., RunningFarm]) -> None:
    farm = start_farm(workers=1)
    bad, good, views = together(farm, line("I am cut short")[:900])
    check_numbered(farm, good, {job: views[job] for job in good})
    assert (views[bad]["state"], views[bad]["attempt"]) == ("failed", 1)
    assert views[bad]["error"]["code"] == "unreadable"
    assert [views[job]["attempt"] for job in good] == [1] * len(good)
