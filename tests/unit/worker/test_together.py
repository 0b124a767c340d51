"""Small pictures that are read together: each page is what it would have been alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrfarm_models.engines import Engines
from ocrfarm_shared.contracts import Layout, OcrOptions, Page, ReadingOptions
from ocrfarm_shared.profiles import get_profile
from ocrfarm_worker.document import LoadedPage
from ocrfarm_worker.own_pace import MOST, Pace
from ocrfarm_worker.pipeline import Stopwatch, read_page, read_together

TEXTS = ["No 17 of the farm", "when it is done", "ONE", "and tells all of them", "page 4", "17.50 EUR"]


def line(text: str, *, turned: bool = False) -> LoadedPage:
    font = ImageFont.load_default(32)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("RGB", (int(right - left) + 20, int(bottom - top) + 16), "white")
    ImageDraw.Draw(image).text((10 - left, 8 - top), text, fill="black", font=font)
    pixels = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
    return LoadedPage(np.ascontiguousarray(pixels[::-1, ::-1]) if turned else pixels)


def page() -> LoadedPage:
    image = Image.new("RGB", (700, 300), "white")
    ImageDraw.Draw(image).multiline_text(
        (40, 40), "Two lines of text\nmake it a page", fill="black", font=ImageFont.load_default(40), spacing=30
    )
    return LoadedPage(cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR))


def without_times(pages: list[Page]) -> list[Page]:
    return [page.model_copy(update={"timings_ms": {}}) for page in pages]


@pytest.fixture(scope="module", params=["fast", "balanced", "accurate-int8"])
def any_engines(request: pytest.FixtureRequest) -> Engines:
    return Engines.load(get_profile(request.param))


def test_as_if_each_had_been_alone(any_engines: Engines) -> None:
    """Lines and a page, upright and not, with options of their own. Also for a model that is quantised by what it is given: there the
    company would show."""
    auto = OcrOptions(profile=any_engines.profile)
    as_line = OcrOptions(profile=any_engines.profile, layout=Layout.LINE)
    strict = OcrOptions(profile=any_engines.profile, options=ReadingOptions(min_confidence=1.0, orientation=False))
    loaded = [
        *((line(text), auto) for text in TEXTS),
        (line(TEXTS[3], turned=True), as_line),
        (page(), auto),
        (line(TEXTS[0]), strict),
    ]
    alone = [read_page(one, n + 1, options, any_engines) for n, (one, options) in enumerate(loaded)]
    together = read_together(
        [(one, n + 1, options, Stopwatch()) for n, (one, options) in enumerate(loaded)], any_engines
    )
    assert without_times(together) == without_times(alone)
    assert [one.lines[0].text for one in together[:2]] == TEXTS[:2]
    assert together[-1].lines == []
    assert all("recognize" in one.timings_ms for one in together)


def test_none_is_none(any_engines: Engines) -> None:
    assert read_together([], any_engines) == []


def test_how_many_are_taken_at_a_time_follows_the_pace() -> None:
    pace = Pace()
    assert pace.most_pictures() == 4
    for _ in range(20):
        pace.pictures(4, 0.005)
    assert pace.most_pictures() == MOST
    for _ in range(20):
        pace.pictures(MOST, 3.0)
    assert pace.most_pictures() == 1


def test_the_pace_told_is_the_mean_by_profile() -> None:
    pace = Pace()
    for seconds in (1.0, 2.0, 3.0):
        pace.page("fast", seconds)
    assert pace.told() == {"fast": [2.0, 3]}
