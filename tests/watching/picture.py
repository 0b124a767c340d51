"""`python -m tests.watching.picture`: the dashboard's picture for docs/, filled by a farm that works.

There is no Grafana here to draw it: none of the package registries that this project uses has it. So this asks a real Prometheus, which
watched a real farm at work, each panel's own query, and draws the answers where the panel stands in Grafana's grid, by matplotlib. The
figures are those that Grafana would show; colours, fonts and legends are not its.
"""

from __future__ import annotations

import argparse
import io
import math
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.documents import page
from tests.faults.pages import quick
from tests.running_farm import ROOT, RunningFarm
from tests.watching.dashboard import Panel, legend, panels
from tests.watching.programs import Prometheus

PICTURE = ROOT / "docs" / "dashboard.png"
WINDOW = "20s"
GROUND, PLATE, INK, FAINT = "#111217", "#181b1f", "#d8d9da", "#6e7077"
SERIES = ["#73bf69", "#5794f2", "#f2cc0c", "#ff780a", "#b877d9", "#8ab8ff", "#f2495c", "#37872d", "#c0d8ff", "#e0b400"]
STEPS = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=300, help="how long the farm works before the picture is taken"
    )
    parser.add_argument("--out", type=Path, default=PICTURE)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocrfarm-picture-") as folder, ExitStack() as stack:
        farm = stack.enter_context(RunningFarm(Path(folder) / "farm", preload="accurate-int8,balanced"))
        watching = Prometheus(Path(folder) / "prometheus", [f"127.0.0.1:{farm.port}"], every="2s")
        prometheus = stack.enter_context(watching)
        begun = time.time()
        work(farm, asked.seconds)
        draw(prometheus, begun, time.time(), asked.out)
    print(f"written to {asked.out}")
    return 0


def work(farm: RunningFarm, seconds: float) -> None:
    """What a farm sees in a day, in some minutes: single documents in two profiles, some of them again, a bulk heap, one that cannot be
    opened, callers' errors, a worker process that is killed."""
    over = threading.Event()
    samples = [p for p in sorted((ROOT / "samples").iterdir()) if p.suffix in (".png", ".jpg", ".pdf")]

    def people() -> None:
        turn = 0
        while not over.wait(5.0):
            document = samples[turn % len(samples)]
            cache = "use" if turn % 3 == 0 else "refresh"
            farm.submit(document, profile=("balanced", "accurate-int8")[turn % 2], cache=cache, priority="interactive")
            farm.http.get("/v1/jobs")
            if turn % 5 == 0:
                farm.http.get("/v1/jobs/job_" + "0" * 32)
            turn += 1

    sender = threading.Thread(target=people, daemon=True)
    sender.start()
    time.sleep(seconds / 4)
    for n in range(30):
        farm.submit(quick(f"Page number {n}"), cache="off", priority="bulk", profile="balanced")
    farm.submit(book(30), name="book.tiff", priority="bulk", profile="balanced")
    farm.submit(b"\x89PNG\r\n\x1a\n" + b"no picture" * 9, name="damaged.png")
    time.sleep(seconds / 4)
    farm.readers()[0].send_signal(signal.SIGKILL)
    time.sleep(seconds / 2)
    over.set()
    sender.join(60)


def book(pages: int) -> bytes:
    """A TIFF of so many pages: more than stand in a lane at a time."""
    first, *rest = (page(f"Page number {n}", width=900, height=160) for n in range(pages))
    out = io.BytesIO()
    first.save(out, "TIFF", save_all=True, append_images=rest, compression="tiff_deflate")
    return out.getvalue()


def draw(prometheus: Prometheus, start: float, end: float, out: Path) -> None:
    board = panels(WINDOW)
    rows = max(y + h for _, y, _, h in (p.place for p in board))
    width, height = 24 * 0.78, rows * 0.40
    figure = plt.figure(figsize=(width, height), facecolor=GROUND, dpi=100)
    for panel in board:
        if panel.kind == "row":
            x, y, _, _ = panel.place
            figure.text(x / 24 + 0.006, 1 - (y + 0.7) / rows, panel.title, color=INK, fontsize=11, weight="bold")
            continue
        axes = plate(figure, panel, rows)
        if panel.kind == "stat":
            stat(axes, panel, prometheus)
        else:
            series(axes, panel, prometheus, start, end)
    figure.savefig(out, facecolor=GROUND)
    plt.close(figure)


def plate(figure: Figure, panel: Panel, rows: int) -> Axes:
    """The panel's ground and title; the axes to draw in."""
    x, y, w, h = panel.place
    left, bottom, wide, high = x / 24, 1 - (y + h) / rows, w / 24, h / rows
    gap_x, gap_y = 0.0025, 0.08 / rows
    ground = figure.add_axes((left + gap_x, bottom + gap_y, wide - 2 * gap_x, high - 2 * gap_y), facecolor=PLATE)
    ground.set_xticks([])
    ground.set_yticks([])
    for side in ground.spines.values():
        side.set_color("#2c3235")
    ground.text(
        0.02 if w > 4 else 0.05, 0.985, panel.title, color=INK, fontsize=8.5, va="top", transform=ground.transAxes
    )
    legend_room = 0.30 if panel.kind != "stat" else 0.05
    margin, room = (0.11, 0.86) if w >= 8 else (0.15, 0.81)
    inside = (left + wide * margin, bottom + high * legend_room, wide * room, high * (0.90 - legend_room))
    return figure.add_axes(inside, facecolor=PLATE)


def stat(axes: Axes, panel: Panel, prometheus: Prometheus) -> None:
    axes.axis("off")
    found = prometheus.ask(panel.targets[0][0])
    value = float(found[0]["value"][1]) if found else math.nan
    colour = "green"
    for at, name in panel.steps:
        if at is None or value >= at:
            colour = name
    text = panel.words.get(f"{value:g}") or said(value, panel.unit)
    axes.text(0.42, 0.45, text, color=STEPS[colour], fontsize=22, ha="center", va="center", transform=axes.transAxes)


def series(axes: Axes, panel: Panel, prometheus: Prometheus, start: float, end: float) -> None:
    lines: list[tuple[str, np.ndarray, np.ndarray]] = []
    for expression, pattern in panel.targets:
        for one in prometheus.over(expression, start, end, 2):
            at, values = np.array([[float(t), float(v)] for t, v in one["values"]]).T
            lines.append(
                (legend(pattern, one["metric"]), (at - start) / 60, np.where(np.isfinite(values), values, np.nan))
            )
    lines.sort(key=lambda line: line[0])
    if panel.stacked and lines:
        grid = np.arange(0, (end - start) / 60, 2 / 60)
        heights = [np.interp(grid, at, np.nan_to_num(values), left=0, right=0) for _, at, values in lines]
        axes.stackplot(grid, *heights, labels=[name for name, _, _ in lines], colors=SERIES, alpha=0.75, linewidth=0)
    else:
        for place, (name, at, values) in enumerate(lines):
            axes.plot(at, values, color=SERIES[place % len(SERIES)], linewidth=1.2, label=name)
    axes.set_xlim(0, (end - start) / 60)
    axes.set_ylim(bottom=0, top=None if axes.get_ylim()[1] > 1e-6 else 1)
    axes.set_axisbelow(True)
    axes.grid(color="#2c3235", linewidth=0.5)
    axes.tick_params(colors=FAINT, labelsize=7, length=0)
    axes.yaxis.set_major_formatter(lambda value, _: said(value, panel.unit))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} min")
    for side in axes.spines.values():
        side.set_visible(False)
    columns = 2 if len(lines) <= 4 else 3
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.1, -0.14), ncols=columns, fontsize=6.5, frameon=False, labelcolor=INK,
        handlelength=1, columnspacing=1, labelspacing=0.25,
    )  # fmt: skip


def said(value: float, unit: str) -> str:
    """A value as Grafana's units would say it."""
    if not math.isfinite(value):
        return "no data" if math.isnan(value) else "∞"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{value * 1000:.3g} ms"
    if unit == "bytes":
        for size, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if value >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.0f} B"
    if unit == "percentunit":
        return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}"
    return f"{value:.3g}" + (" /s" if unit == "reqps" else "")


if __name__ == "__main__":
    sys.exit(main())
