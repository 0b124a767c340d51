"""Accuracy against milliseconds, for every recogniser and quantisation, as a picture: docs/models.svg, and models.json beside it.

    python -m tests.bench.chart --data EVAL/dev [--variants runs/crnn-en --of crnn-en]
    python -m tests.bench.chart --again            draw the picture anew from docs/models.json

EVAL is a folder of labelled sets with `score.py`. Every recogniser of the registry for Latin print reads the same words and lines,
whole, on one thread, without a second model in doubt. Their speed is taken from the same scanned lines, all models in turns, in
processor time; the best of the turns counts. `--variants` adds the .onnx files of a folder, read by the rules of the row `--of` (what
`training.quantise` makes). Prints the figures of the registry's rows, those of the direction classifier among them.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ocrfarm_models import registry
from ocrfarm_models.build import build
from ocrfarm_models.classifier import DirectionClassifier
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.spec import CertaintyRule
from ocrfarm_worker.face import piece
from tests.bench.accuracy import score_module

DOCS = Path(__file__).parents[2] / "docs"
WORDS, LINES = ("iiit5k_test", "svt_test", "icdar2013_words_test"), ("en_scan_lines",)
MODELS = ("ppocrv6-rec", "ppocrv6-rec-int8", "crnn-en")
TURNS, TIMED = 5, 16
PANELS = (("lines", "scanned lines: characters right"), ("words", "words of scenes: read right, letters and digits"))
COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7c3aed", "#0e7490", "#a16207", "#be123c")


def opened(variants: Path | None, of: str) -> dict[str, Recognizer]:
    """The recognisers by name."""
    build(MODELS)
    models = {name: Recognizer.open(registry.resolve(name)) for name in MODELS}
    spec = replace(registry.resolve(of), certainty=CertaintyRule())
    for path in sorted(variants.glob(f"{of}*.onnx")) if variants else ():
        name = f"{of} {path.stem.removeprefix(of).strip('-') or 'fp32'}"
        if name != f"{of} int8":  # the registry's own
            models[name] = Recognizer.open(replace(spec, path=path))
    return models


def measured(data: Path, models: dict[str, Recognizer]) -> dict[str, dict[str, float]]:
    """By model: accuracy on words (ci) and lines (char), milliseconds a line."""
    score = score_module(data.parent)
    sets = tomllib.loads((data.parent / "sets.toml").read_text("utf8"))
    crops = {
        name: [
            (np.asarray(cv2.imread(str(data / name / file), cv2.IMREAD_COLOR), np.uint8), label)
            for file, label in score.items(data / name, sets[name]["kind"])
        ]
        for name in (*WORDS, *LINES)
    }
    figures: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        row: dict[str, float] = {}
        for part, folders in (("words", WORDS), ("lines", LINES)):
            pairs = []
            for folder in folders:
                read = [line.text for line in model.read([image for image, _ in crops[folder]])]
                pairs = [(text, label) for text, (_, label) in zip(read, crops[folder], strict=True)]
                right = sum(score.alnum(text) == score.alnum(label) for text, label in pairs)
                edits = sum(score.distance(score.norm(t, False), score.norm(x, False)) for t, x in pairs)
                length = sum(len(score.norm(label, False)) for _, label in pairs)
                row[folder] = round(right / len(pairs) if part == "words" else 1 - edits / length, 4)
                row[part] = row.get(part, 0.0) + row[folder] * len(pairs)
            row[part] = round(row[part] / sum(len(crops[folder]) for folder in folders), 4)
        figures[name] = row
    timed = [image for image, _ in crops[LINES[0]]][:TIMED]
    best = dict.fromkeys(models, math.inf)
    for _ in range(TURNS):
        for name, model in models.items():
            start = time.process_time()
            model.read(timed)
            best[name] = min(best[name], (time.process_time() - start) * 1000 / len(timed))
    for name, milliseconds in best.items():
        figures[name]["ms_a_line"] = round(milliseconds, 2)
    return figures


def directions(data: Path) -> dict[str, float]:
    """Of the scanned lines, as a page's are asked about: the share left upright, and the share of turned ones that is found."""
    listing = (data / LINES[0] / "labels.tsv").read_text("utf8").splitlines()
    files = [data / LINES[0] / row.split("\t")[0] for row in listing]
    pieces = [piece(np.asarray(cv2.imread(str(file), cv2.IMREAD_COLOR), np.uint8)) for file in files]
    classifier = DirectionClassifier.open(registry.resolve("ppocr-cls"))
    upright = classifier.flipped(pieces)
    turned = classifier.flipped([np.ascontiguousarray(image[::-1, ::-1]) for image in pieces])
    return {
        "upright_kept": round(1 - sum(upright) / len(pieces), 4),
        "turned_found": round(sum(turned) / len(pieces), 4),
    }


def drawn(figures: dict[str, dict[str, float]]) -> str:
    """The chart as SVG: a panel each for lines and words, milliseconds a line on a logarithmic axis."""
    wide, high, left, top = 400, 300, 60, 40
    times = [row["ms_a_line"] for row in figures.values()]
    low, far = math.log10(min(times) / 1.6), math.log10(max(times) * 1.6)
    parts = ['<rect width="100%" height="100%" fill="white"/>']
    for number, (key, title) in enumerate(PANELS):
        x0 = left + number * (wide + left + 20)
        values = [row[key] for row in figures.values()]
        floor = max(0.0, math.floor((min(values) - 0.02) * 20) / 20)

        def place(row: dict[str, float], x0: int = x0, key: str = key, floor: float = floor) -> tuple[float, float]:
            x = x0 + (math.log10(row["ms_a_line"]) - low) / (far - low) * wide
            return x, top + (1 - (row[key] - floor) / (1 - floor)) * high

        parts.append(f'<text x="{x0}" y="{top - 14}" font-weight="bold">{html.escape(title)}</text>')
        parts.append(f'<rect x="{x0}" y="{top}" width="{wide}" height="{high}" fill="none" stroke="#999"/>')
        for step in range(6):
            value = floor + (1 - floor) * step / 5
            y = top + (1 - step / 5) * high
            parts.append(f'<line x1="{x0}" x2="{x0 + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
            parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>')
        for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500):
            if low <= math.log10(tick) <= far:
                x = x0 + (math.log10(tick) - low) / (far - low) * wide
                parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + high}" stroke="#eee"/>')
                parts.append(f'<text x="{x:.1f}" y="{top + high + 16}" text-anchor="middle">{tick}</text>')
        under = top + high + 34
        parts.append(f'<text x="{x0 + wide / 2}" y="{under}" text-anchor="middle">milliseconds a line, one core</text>')
        for colour, row in zip(COLOURS, figures.values(), strict=False):
            x, y = place(row)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>')
    for number, (colour, (name, row)) in enumerate(zip(COLOURS, figures.items(), strict=False)):
        x, y = left + number % 2 * 480, top + high + 62 + number // 2 * 20
        told = f"{name}: {row['ms_a_line']:.1f} ms, lines {row['lines']:.3f}, words {row['words']:.3f}"
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="6" fill="{colour}"/>')
        parts.append(f'<text x="{x + 12}" y="{y}">{html.escape(told)}</text>')
    size = f'width="{2 * (wide + left) + 50}" height="{top + high + 70 + (len(figures) + 1) // 2 * 20}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join([head, *parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of labelled sets, beside score.py")
    parser.add_argument("--variants", type=Path, help="a folder of .onnx files")
    parser.add_argument("--of", default="crnn-en", help="the registry's row whose rules the variants follow")
    parser.add_argument("--again", action="store_true", help="draw what docs/models.json holds")
    parser.add_argument("--out", type=Path, default=DOCS)
    args = parser.parse_args()
    if not args.data and not args.again:
        parser.error("give --data, or --again")
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any]
    if args.data:
        told = measured(args.data, opened(args.variants, args.of))
        (args.out / "models.json").write_text(json.dumps(told, indent=1) + "\n", "utf8")
    else:
        told = json.loads((args.out / "models.json").read_text("utf8"))
    (args.out / "models.svg").write_text(drawn(told), "utf8")
    if args.data:
        print("ppocr-cls", directions(args.data))
    for name, row in told.items():
        print(f"{name:22s} " + "  ".join(f"{key} {value:g}" for key, value in row.items()))


if __name__ == "__main__":
    main()
