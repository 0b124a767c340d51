"""Small pictures of a line each: as one batch, against one job each, through a whole farm and the Python client.

    python -m tests.bench.small_lines [--count 600] [--workers 2] [--rounds 3]

`one after the other`: the client submits one and waits for its text, then the next. `one job each`: it submits all, then asks for the
text of each. `one batch`: the client adds all of them to a batch,
waits for its end, and saves the results. Both are run in turns, `--rounds` times; told are lines a second from the first byte sent to the
last text had (median), and processor seconds a line by part. Fails where the texts differ. Writes JSON to standard output.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from PIL import Image, ImageDraw, ImageFont

from ocrfarm import Client
from tests.bench.batch import WORDS
from tests.running_farm import RunningFarm

CHOICES: dict[str, Any] = {"profile": "fast", "layout": "line", "cache": "off"}
Texts = dict[str, str]


def make(folder: Path, count: int) -> list[Path]:
    """Line images of five words and a number, no two alike, each as large as its text and a little more."""
    rng, font = random.Random(12), ImageFont.load_default(30)
    folder.mkdir()
    out = []
    for n in range(count):
        text = f"{n} {' '.join(rng.choices(WORDS, k=5))}"
        left, top, right, bottom = font.getbbox(text)
        image = Image.new("RGB", (int(right - left) + 16, int(bottom - top) + 12), "white")
        ImageDraw.Draw(image).text((8 - left, 6 - top), text, fill="black", font=font)
        out.append(folder / f"{n:05}.png")
        image.save(out[-1])
    return out


def one_after_the_other(client: Client, files: list[Path], _: Path) -> Texts:
    return {file.name: client.submit(file, **CHOICES).text() for file in files}


def one_job_each(client: Client, files: list[Path], _: Path) -> Texts:
    jobs = [client.submit(file, **CHOICES) for file in files]
    return {file.name: job.text() for file, job in zip(files, jobs, strict=True)}


def one_batch(client: Client, files: list[Path], folder: Path) -> Texts:
    batch = client.batches.open(**CHOICES)
    batch.add(*files)
    batch.close()
    view = batch.wait()
    if view.state != "succeeded":
        raise RuntimeError(f"the batch is {view.state}: {view.counts}")
    saved = folder / "results.jsonl"
    batch.save(saved)
    rows = [json.loads(line) for line in saved.read_text("utf8").splitlines()]
    return {Path(row["filename"]).name: row["document"]["text"] for row in rows}


WAYS: dict[str, Callable[[Client, list[Path], Path], Texts]] = {
    "one after the other": one_after_the_other,
    "one job each": one_job_each,
    "one batch": one_batch,
}


def processor_s(farm: RunningFarm) -> dict[str, float]:
    """By part, the processes that ended among them."""
    parts: dict[str, float] = {}
    for part in ("redis", "api", "dispatcher", "worker"):
        root = psutil.Process(farm.pid(part))
        for process in (root, *root.children(recursive=True)):
            try:
                name = "decoders" if "decoding.child" in " ".join(process.cmdline()) else part
                used = process.cpu_times()
                own = used.user + used.system + used.children_user + used.children_system
                parts[name] = parts.get(name, 0.0) + own
            except psutil.Error:
                continue
    me = psutil.Process().cpu_times()
    return parts | {"client": me.user + me.system}


def measure(count: int, workers: int, rounds: int, folder: Path) -> dict[str, Any]:
    files = make(folder / "lines", count)
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    spent: dict[str, dict[str, float]] = {name: {} for name in WAYS}
    texts: dict[str, Texts] = {}
    with (
        RunningFarm(folder / "farm", workers=workers, preload="fast") as farm,
        Client(f"http://127.0.0.1:{farm.port}") as client,
    ):
        for way in WAYS.values():
            way(client, files[:50], folder)  # warm
        for n in range(rounds):
            for name, way in list(WAYS.items())[:: 1 if n % 2 == 0 else -1]:
                before, begun = processor_s(farm), time.perf_counter()
                texts[name] = way(client, files, folder)
                rates[name].append(count / (time.perf_counter() - begun))
                after = processor_s(farm)
                for part, used in after.items():
                    spent[name][part] = spent[name].get(part, 0.0) + used - before.get(part, 0.0)
                print(f"{name}: {rates[name][-1]:.1f} lines a second", file=sys.stderr, flush=True)
    if len(texts["one batch"]) != count or any(texts[name] != texts["one batch"] for name in WAYS):
        raise RuntimeError("a batch reads otherwise than single jobs")
    return {
        name: {
            "lines": count,
            "lines a second": round(statistics.median(rates[name]), 1),
            "rounds": [round(rate, 1) for rate in rates[name]],
            "processor ms a line": {part: round(1000 * s / count / rounds, 2) for part, s in spent[name].items()},
        }
        for name in WAYS
    } | {
        f"times {name}": round(statistics.median(rates["one batch"]) / statistics.median(rates[name]), 2)
        for name in ("one after the other", "one job each")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(asked.count, asked.workers, asked.rounds, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
