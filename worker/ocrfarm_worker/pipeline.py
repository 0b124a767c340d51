"""One page, read. The recipe:

load (before this) -> prepare -> find lines -> crop -> face -> read -> order -> page

A profile without a detector reads every picture as one line.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.engines import Engines
from ocrfarm_shared.contracts import Layout, OcrOptions, Page
from ocrfarm_worker.crop import rectify, whole
from ocrfarm_worker.detect import find_lines
from ocrfarm_worker.document import LoadedPage
from ocrfarm_worker.face import Rotation, face, rotation
from ocrfarm_worker.language import guess_language
from ocrfarm_worker.order import reading_order
from ocrfarm_worker.preprocess import is_line, prepare
from ocrfarm_worker.recognize import Reading, read, read_wholes, to_line

_UPRIGHT: Rotation = 0
# What looks like one line and reads worse than this is looked at as a page.
_SURELY_A_LINE = 0.8


class Stopwatch:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = round(self.ms.get(name, 0.0) + (time.perf_counter() - start) * 1000, 3)


def read_page(
    loaded: LoadedPage, number: int, options: OcrOptions, engines: Engines, watch: Stopwatch | None = None
) -> Page:
    """Read one page. A page without lines holds no text; what cannot be read raises.

    `watch` may already hold the time that loading took. Raises nothing of its own; the engines' errors come through.
    """
    watch = watch or Stopwatch()
    line = None
    if _looks_like_a_line(loaded, options, engines):
        with watch.stage("recognize"):
            (line,) = read_wholes([whole(loaded.image)], engines, orientation=[options.options.orientation])
    page = _page(loaded, number, options, engines, watch, line)
    engines.rest()
    return page


Job = tuple[LoadedPage, int, OcrOptions, Stopwatch]
"""A page that is read with others: it, its number, its options, and the watch that may hold what loading took."""


def read_together(jobs: Sequence[Job], engines: Engines) -> list[Page]:
    """Several pages under one profile, small pictures of a line or a word as a rule.

    Lines go through the recogniser together where that changes nothing of what they read as: every page is what `read_page` would have
    made of it. The engines' errors come through.
    """
    alike = [n for n, (loaded, _, options, _) in enumerate(jobs) if _looks_like_a_line(loaded, options, engines)]
    begun = time.perf_counter()
    read = read_wholes(
        [whole(jobs[n][0].image) for n in alike],
        engines,
        orientation=[jobs[n][2].options.orientation for n in alike],
    )
    share = (time.perf_counter() - begun) * 1000 / max(1, len(alike))
    lines = dict(zip(alike, read, strict=True))
    pages = []
    for n, (loaded, number, options, watch) in enumerate(jobs):
        if n in lines:
            watch.ms["recognize"] = round(share, 3)
        pages.append(_page(loaded, number, options, engines, watch, lines.get(n)))
    engines.rest()
    return pages


def _looks_like_a_line(loaded: LoadedPage, options: OcrOptions, engines: Engines) -> bool:
    if options.layout is Layout.LINE or engines.detector is None:
        return True
    return options.layout is Layout.AUTO and loaded.dpi is None and is_line(loaded.image)


def _page(
    loaded: LoadedPage, number: int, options: OcrOptions, engines: Engines, watch: Stopwatch, line: Reading | None
) -> Page:
    """`line`: what the whole picture says as one line, where it was read so."""
    certainly = options.layout is Layout.LINE or engines.detector is None
    if line is not None and (certainly or line.text.confidence >= _SURELY_A_LINE):
        readings, turned = [line], _UPRIGHT
    else:
        readings, turned = _read_lines(loaded, options, engines, watch)
    lines = [
        to_line(r) for r in readings if r.text.text.strip() and r.text.confidence >= options.options.min_confidence
    ]
    return Page(
        number=number,
        width=loaded.width,
        height=loaded.height,
        dpi=loaded.dpi,
        rotation=turned,
        language=guess_language("".join(line.text for line in lines)) if lines else None,
        lines=lines,
        models=sorted({name for line in lines for name in line.model.split("+")}),
        timings_ms=watch.ms,
    )


def _read_lines(
    loaded: LoadedPage, options: OcrOptions, engines: Engines, watch: Stopwatch
) -> tuple[list[Reading], Rotation]:
    with watch.stage("preprocess"):
        prepared = prepare(loaded.image)
    with watch.stage("detect"):
        found = find_lines(prepared, loaded.width, loaded.height, engines)
    with watch.stage("crop"):
        crops = [rectify(loaded.image, region.polygon) for region in found]
    if options.options.orientation:
        with watch.stage("face"):
            crops = face(crops, engines)
    with watch.stage("recognize"):
        readings = read(crops, engines, orientation=options.options.orientation)
    with watch.stage("order"):
        turned = rotation([reading.crop for reading in readings])
        corners = [_turned(reading.crop.corners, turned, loaded) for reading in readings]
        return [readings[i] for i in reading_order(corners)], turned


def _turned(corners: NDArray[np.float32], turn: Rotation, page: LoadedPage) -> NDArray[np.float32]:
    """Corners on the page as it is once turned clockwise by `turn`."""
    x, y = corners[:, 0], corners[:, 1]
    width, height = page.width, page.height
    turned = {0: (x, y), 90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}[turn]
    return np.stack(turned, axis=1).astype(np.float32)
