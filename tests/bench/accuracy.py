#!/usr/bin/env python3
"""The pipeline called in-process over a labelled evaluation folder: predictions, scores, and what each stage costs.

    python tests/bench/accuracy.py --data EVAL/dev --profile accurate --processes 2 --out predictions.jsonl [--sets a,b]
    python tests/bench/accuracy.py --cost EVAL/cost.txt --profile accurate --processes 2

    python tests/bench/accuracy.py --compare before.jsonl after.jsonl --data EVAL/dev

EVAL is a folder that holds `score.py`, which knows the sets and scores the predictions, and `cost.txt`, the pages that cost is
measured over. With --cost the pages are loaded beforehand, each process is warmed with one page, and pages a second, processor
seconds a page and milliseconds by stage are printed as JSON. After the scores stands which model read how many lines of each group
(what a cascade's first reader settles), and the processor time that recognition took. --compare puts two such runs side by side,
group by group: score and recognition (with `face`, which asks the recogniser too), from the same files, of one machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from ocrfarm_models.build import build
from ocrfarm_models.engines import Engines
from ocrfarm_shared.contracts import Layout, OcrOptions, Page
from ocrfarm_shared.profiles import get_profile
from ocrfarm_worker.load import Limits, load_page, plan
from ocrfarm_worker.pipeline import Stopwatch, read_page

LIMITS = Limits()
_engines: Engines


def _open(profile: str) -> None:
    global _engines
    cv2.setNumThreads(1)
    _engines = Engines.load(get_profile(profile))


class ProcessorWatch(Stopwatch):
    """Milliseconds of processor time by stage: what other work on the machine does to it is little."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        try:
            yield
        finally:
            self.ms[name] = self.ms.get(name, 0.0) + (time.process_time() - start) * 1000


def _read(path: Path, number: int, options: OcrOptions, watch: Stopwatch) -> Page:
    with watch.stage("load"):
        loaded = load_page(path, None, number, options.options.dpi, LIMITS)
    return read_page(loaded, number, options, _engines, watch)


def _read_file(job: tuple[str, str, Path, str, str]) -> tuple[dict[str, Any], Counter[str]]:
    name, file, path, kind, profile = job
    options = OcrOptions(profile=profile, layout=Layout.PAGE if kind == "page" else Layout.LINE)
    if kind == "auto":
        options = OcrOptions(profile=profile)
    spent: Counter[str] = Counter()
    pages = [_read(path, number, options, ProcessorWatch()) for number in plan(path, None, LIMITS).numbers]
    for page in pages:
        spent.update(page.timings_ms)
    lines = [[line.text, line.confidence, line.model, line.certainty] for page in pages for line in page.lines]
    text = "\n".join(page.text for page in pages)
    rotation = [page.rotation for page in pages]
    return {"set": name, "file": file, "text": text, "lines": lines, "rotation": rotation, "ms": dict(spent)}, spent


def _read_share(jobs: list[tuple[Path, int]], profile: str, gate: Any, results: Any) -> None:
    _open(profile)
    options = OcrOptions(profile=profile, layout=Layout.PAGE)
    _read(*jobs[0], options, Stopwatch())
    gate.wait()
    wall, cpu, spent, lines = time.monotonic(), time.process_time(), Counter[str](), 0
    for path, number in jobs:
        page = _read(path, number, options, Stopwatch())
        spent.update(page.timings_ms)
        lines += len(page.lines)
    results.put((time.monotonic() - wall, time.process_time() - cpu, spent, lines))


def cost(listing: Path, profile: str, processes: int) -> None:
    pages = [
        (listing.parent / name, number)
        for name in listing.read_text("utf8").split()
        for number in plan(listing.parent / name, None, LIMITS).numbers
    ]
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(processes + 1), context.Queue()
    # Every process reads all pages, each from another place on, so that none stands idle at the end.
    shares = [pages[i * len(pages) // processes :] + pages[: i * len(pages) // processes] for i in range(processes)]
    workers = [context.Process(target=_read_share, args=(share, profile, gate, results)) for share in shares]
    for worker in workers:
        worker.start()
    gate.wait()
    answers = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    count = len(pages) * processes
    spent = sum((a[2] for a in answers), Counter[str]())
    figures = {
        "profile": profile,
        "processes": processes,
        "pages": count,
        "lines": sum(a[3] for a in answers),
        "pages_per_s": round(sum(len(pages) / a[0] for a in answers), 3),
        "core_s_per_page": round(sum(a[1] for a in answers) / count, 4),
        "ms_per_page": {stage: round(ms / count, 1) for stage, ms in spent.items()},
    }
    print(json.dumps(figures))


def score_module(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("score", folder / "score.py")
    if spec is None or spec.loader is None:
        sys.exit(f"there is no score.py in {folder}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _jobs(data: Path, wanted: set[str], profile: str, auto: bool) -> Iterator[tuple[str, str, Path, str, str]]:
    score = score_module(data.parent)
    for name, spec in tomllib.loads((data.parent / "sets.toml").read_text("utf8")).items():
        if (data / name).is_dir() and (not wanted or name in wanted):
            for file, _ in score.items(data / name, spec["kind"]):
                yield name, file, data / name / file, "auto" if auto else spec["kind"], profile


def _groups(data: Path, predictions: Path) -> dict[str, dict[str, Any]]:
    """By group: files, score, lines by model, milliseconds of recognition."""
    sets = tomllib.loads((data.parent / "sets.toml").read_text("utf8"))
    with tempfile.NamedTemporaryFile(suffix=".json") as told:
        score = [sys.executable, str(data.parent / "score.py"), "--data", str(data), "--pred", str(predictions)]
        subprocess.run([*score, "--json", told.name], check=True, stdout=subprocess.DEVNULL)
        scores = json.loads(Path(told.name).read_text("utf8"))["groups"]
    groups: dict[str, dict[str, Any]] = {}
    for row in map(json.loads, predictions.read_text("utf8").splitlines()):
        name = sets[row["set"]]["group"]
        group = groups.setdefault(name, {"files": 0, "head": scores[name]["head"], "models": Counter(), "ms": 0.0})
        group["files"] += 1
        group["models"].update(line[2] for line in row["lines"])
        group["ms"] += row["ms"].get("recognize", 0) + row["ms"].get("face", 0)
    return groups


def _shares(data: Path, predictions: Path) -> None:
    print(f"\n{'group':20s} {'files':>5s} {'lines':>6s} {'ms a line':>9s}  lines by the model that read them")
    for name, group in _groups(data, predictions).items():
        lines = max(sum(group["models"].values()), 1)
        models = "  ".join(f"{model} {count / lines:.3f}" for model, count in group["models"].most_common())
        print(f"{name:20s} {group['files']:5d} {lines:6d} {group['ms'] / lines:9.2f}  {models}")


def compare(data: Path, before: Path, after: Path) -> None:
    one, two = _groups(data, before), _groups(data, after)
    print(f"{'group':20s} {'files':>5s} {'before':>7s} {'after':>7s} {'change':>7s} {'recognition':>12s}")
    for name in one.keys() & two.keys():
        if one[name]["files"] != two[name]["files"]:
            sys.exit(f"{name}: the two runs did not read the same files")
    for name in (n for n in one if n in two):
        a, b = one[name], two[name]
        few = "  few files" if a["files"] < 30 else ""
        speed = f"{a['ms'] / max(b['ms'], 1e-9):10.2f} x"
        print(
            f"{name:20s} {a['files']:5d} {a['head']:7.4f} {b['head']:7.4f} {b['head'] - a['head']:+7.4f} {speed}{few}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of labelled sets, beside score.py")
    parser.add_argument("--cost", type=Path, help="a list of pages, paths relative to it")
    parser.add_argument("--profile", default="accurate")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("predictions.jsonl"))
    parser.add_argument("--sets", default="", help="only these, comma separated")
    parser.add_argument("--auto", action="store_true", help="let the pipeline tell lines from pages")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"), help="two runs' predictions")
    args = parser.parse_args()
    if args.compare:
        if not args.data:
            parser.error("--compare needs --data")
        compare(args.data, *args.compare)
        return
    # Here, where an error is seen: a pool would start its processes again for ever.
    build(get_profile(args.profile).models)
    if args.cost:
        cost(args.cost, args.profile, args.processes)
        return
    if not args.data:
        parser.error("give --data or --cost")
    jobs = list(_jobs(args.data, set(filter(None, args.sets.split(","))), args.profile, args.auto))
    start, spent = time.monotonic(), Counter[str]()
    context = multiprocessing.get_context("spawn")
    with context.Pool(args.processes, _open, (args.profile,)) as pool, args.out.open("w", encoding="utf8") as out:
        for row, stages in pool.imap(_read_file, jobs, chunksize=4):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            out.flush()  # a run that is stopped has scored what it read
            spent.update(stages)
    print(f"{len(jobs)} files in {time.monotonic() - start:.1f} s;", {k: round(v / 1000, 2) for k, v in spent.items()})
    score = args.data.parent / "score.py"
    subprocess.run([sys.executable, str(score), "--data", str(args.data), "--pred", str(args.out)], check=True)
    _shares(args.data, args.out)


if __name__ == "__main__":
    main()
