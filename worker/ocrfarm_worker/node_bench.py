"""`ocrfarm bench node`: how quickly this machine reads, what that takes of memory, and how hot it gets.

One page, the same on every machine: 30 printed lines that come with the models (those that 8-bit models are calibrated with). It is read
again and again, first by one process, then by as many as the node would run, each with engines of its own, as in a pool.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ocrfarm_worker.warmth import warmth

WIDTH, HEIGHT, MARGIN, LEADING = 1240, 1754, 60, 14  # pixels: A4 at 150 dpi
LINES = 30
_LOOK_S = 1.0


@dataclass(frozen=True)
class Row:
    """One measurement. `memory_mb`: the largest process's peak. Temperatures in degrees Celsius; None where the machine tells none."""

    profile: str
    processes: int
    pages_per_s: float
    lines_per_s: float
    page_ms: float
    memory_mb: float
    hottest_c: float | None
    throttled: tuple[str, ...]


def measure(profile: str, processes: int, seconds: float) -> Row:
    """Raises RuntimeError where a process dies."""
    spawn = multiprocessing.get_context("spawn")
    begin = spawn.Event()
    links: list[Connection] = []
    running = []
    for _ in range(processes):
        here, there = spawn.Pipe()
        process = spawn.Process(target=_read_on, args=(profile, seconds, begin, there), daemon=True)
        process.start()
        there.close()
        running.append(process)
        links.append(here)
    for link in links:
        _said(link)  # its engines are loaded
    begin.set()
    heat: list[float] = []
    trouble: set[str] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(_LOOK_S, max(0.0, end - time.monotonic())))
        told = warmth()
        heat += [told["temperature_c"]] if "temperature_c" in told else []
        trouble.update(told.get("throttled", ()))
    done = [_said(link) for link in links]
    for process in running:
        process.join()
    pages_per_s = sum(pages / spent for pages, _, spent, _ in done)
    pages, lines = sum(d[0] for d in done), sum(d[1] for d in done)
    return Row(
        profile,
        processes,
        pages_per_s,
        pages_per_s * lines / pages,
        1000 * processes / pages_per_s,
        max(d[3] for d in done),
        max(heat) if heat else None,
        tuple(sorted(trouble)),
    )


def _said(link: Connection) -> Any:
    try:
        return link.recv()
    except EOFError:
        raise RuntimeError("a process that read died; the machine may have too little memory for so many") from None


def _read_on(profile: str, seconds: float, begin: Any, link: Connection) -> None:
    """In a process of its own: says when it is ready, and then (pages, lines, seconds, peak memory in MB)."""
    from ocrfarm_shared.settings import prepare_worker_environment

    prepare_worker_environment()
    import cv2

    from ocrfarm_models.engines import Engines
    from ocrfarm_shared.contracts import OcrOptions
    from ocrfarm_shared.profiles import get_profile
    from ocrfarm_worker.document import LoadedPage
    from ocrfarm_worker.pipeline import read_page

    cv2.setNumThreads(1)
    engines = Engines.load(get_profile(profile))
    page, options = LoadedPage(drawn_page()), OcrOptions(profile=profile)
    read_page(page, 1, options, engines)  # the first is slower
    link.send("ready")
    begin.wait()
    pages = lines = 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds or not pages:
        lines += len(read_page(page, 1, options, engines).lines)
        pages += 1
    spent = time.perf_counter() - begun
    link.send((pages, lines, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    link.close()


def drawn_page() -> Any:
    """The page, uint8 (HEIGHT, WIDTH, 3)."""
    import cv2
    import numpy as np

    page = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    top = MARGIN
    for number, line in enumerate(_lines()):
        if number == LINES:
            break
        scale = min(36 / line.shape[0], (WIDTH - 2 * MARGIN) / line.shape[1])
        size = max(1, round(line.shape[1] * scale)), max(1, round(line.shape[0] * scale))
        small = cv2.resize(line, size, interpolation=cv2.INTER_AREA)
        page[top : top + size[1], MARGIN : MARGIN + size[0]] = small
        top += 36 + LEADING
    return page


def has_pictures() -> bool:
    """Images for containers leave out what only making models needs."""
    return (resources.files("ocrfarm_models") / "calibration_pictures").is_dir()


def _lines() -> Iterator[Any]:
    """Pictures of lines, wide ones with dark writing on a light ground, in the order of their names."""
    import cv2
    import numpy as np

    folder = resources.files("ocrfarm_models") / "calibration_pictures"
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        if not file.name.startswith("line-"):
            continue
        image = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if image is not None and image.shape[1] >= 6 * image.shape[0] and image.mean() > 128:
            yield image


def machine() -> list[tuple[str, str]]:
    """What is measured: the machine, its cores and memory, system and release."""
    from ocrfarm_shared.version import version

    model = _first(Path("/proc/device-tree/model")) or _cpu() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    system = f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}"
    return [
        ("machine", model),
        ("cores", f"{len(os.sched_getaffinity(0))}"),
        ("memory", f"{memory:.1f} GB"),
        ("system", system),
        ("ocrfarm", version()),
    ]


def _first(path: Path) -> str:
    try:
        return path.read_text("utf8", "replace").strip("\0 \n")
    except OSError:
        return ""


def _cpu() -> str:
    rows = (row.partition(":") for row in _first(Path("/proc/cpuinfo")).splitlines())
    return next((value.strip() for name, _, value in rows if name.strip() == "model name"), "")


def as_markdown(rows: Sequence[Row]) -> str:
    """A table to be put into docs/how-to/raspberry-pi.md."""
    heads = (
        "profile", "processes", "pages/s", "lines/s", "ms a page", "memory of one, MB", "hottest, °C", "throttled",
    )  # fmt: skip
    cells = [
        (
            f"`{row.profile}`", str(row.processes), f"{row.pages_per_s:.2f}", f"{row.lines_per_s:.1f}", f"{row.page_ms:.0f}",
            f"{row.memory_mb:.0f}", "not told" if row.hottest_c is None else f"{row.hottest_c:.0f}", ", ".join(row.throttled) or "no",
        )
        for row in rows
    ]  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ("---",) * len(heads), *cells))
