#!/usr/bin/env python3
r"""A small recogniser against the large one, on the crops that the detector finds in unlabelled or page-labelled pictures.

    python -m tests.bench.agreement --pictures FOLDER --model crnn-zh-en [--against ppocrv6-rec] \
        [--cache crops.npz] [--worst worst.png] [--json scores.json]

MODEL is an id of the registry or an exported file. What the large recogniser reads is the reference; `char` is 1 - edits / its length after
NFKC. Printed for all crops, for those whose reference the small model's characters can write, and for these without white
space; and how many of the reference's characters of GB 2312's level 1 are among the characters read.
The interval (95%) is a bootstrap over pictures. `--cache` keeps crops and references, which cost the most, between calls.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from ocrfarm_models import ctc
from ocrfarm_models.detector import Detector
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.registry import resolve
from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import ModelSpec
from ocrfarm_models.training.alphabet import LEVEL_1
from ocrfarm_models.training.rule import LINE_RULE
from ocrfarm_models.training.scores import Score, distance, norm
from ocrfarm_worker.crop import rectify

Crops = list[tuple[int, np.ndarray, str]]  # number of the picture, uint8 BGR, reference


def references(folder: Path, against: str) -> Crops:
    """Return all crops of the pictures of a folder with what the large recogniser reads; empty readings are left out."""
    detector, large = Detector.open(resolve("ppocrv6-det")), Recognizer.open(resolve(against))
    out: Crops = []
    for number, path in enumerate(sorted(p for p in folder.iterdir() if p.suffix in {".png", ".jpg", ".jpeg"})):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"{path} is not a picture")
        crops = [
            rectify(np.asarray(image, np.uint8), region.polygon)
            for region in detector.detect(np.asarray(image, np.uint8))
        ]
        flat = [crop.image for crop in crops if not crop.tall]
        out += [(number, c, line.text) for c, line in zip(flat, large.read(flat), strict=True) if line.text.strip()]
    return out


def cached(folder: Path, against: str, cache: Path | None) -> Crops:
    """Return the references, from the cache where there is one."""
    if cache is None or not cache.exists():
        crops = references(folder, against)
        if cache is not None:
            arrays = {f"crop{i}": crop for i, (_, crop, _) in enumerate(crops)}
            np.savez(cache, numbers=[n for n, _, _ in crops], texts=[t for _, _, t in crops], **arrays)
        return crops
    with np.load(cache) as file:
        return [
            (int(n), file[f"crop{i}"], str(t))
            for i, (n, t) in enumerate(zip(file["numbers"], file["texts"], strict=True))
        ]


def open_small(model: str) -> Recognizer:
    """Open an exported file, or a model of the registry."""
    if not model.endswith(".onnx"):
        return Recognizer.open(resolve(model))
    path = Path(model)
    spec = ModelSpec(path.stem, "recognizer", path, "", "", path.stem, LINE_RULE, charset="metadata:charset", blank=0)
    return Recognizer.open(spec)


def char(rows: list[tuple[int, str, str]]) -> tuple[float, float, float]:
    """Return character accuracy of (picture, reference, reading) rows, and its interval by a bootstrap over pictures."""
    by_picture: dict[int, tuple[int, int]] = {}
    for number, want, got in rows:
        edits, length = by_picture.get(number, (0, 0))
        by_picture[number] = edits + distance(got, want), length + len(want)
    counts, rng = list(by_picture.values()), random.Random(1)

    def of(some: list[tuple[int, int]]) -> float:
        return 1 - sum(e for e, _ in some) / max(1, sum(n for _, n in some))

    draws = sorted(of(rng.choices(counts, k=len(counts))) for _ in range(2000))
    return of(counts), draws[50], draws[-51]


def main() -> None:
    """Read, compare, print."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--pictures", type=Path, required=True)
    ap.add_argument("--model", required=True)
    ap.add_argument("--against", default="ppocrv6-rec")
    ap.add_argument("--cache", type=Path)
    ap.add_argument("--worst", type=Path)
    ap.add_argument("--json", type=Path, help="scores, as `training.evaluate` writes them")
    args = ap.parse_args()
    crops = cached(args.pictures, args.against, args.cache)
    small = open_small(args.model)
    readings = [line.text for line in small.read([crop for _, crop, _ in crops])]
    known = set(ctc.charset(small.spec, Session(small.spec.path, threads=1).metadata)) | {" "}
    rows = [(n, norm(text), norm(got)) for (n, _, text), got in zip(crops, readings, strict=True)]
    writable = [r for r, (_, _, text) in zip(rows, crops, strict=True) if set(text) <= known]
    tight = [(n, a.replace(" ", ""), b.replace(" ", "")) for n, a, b in writable]
    for name, part in {"all crops": rows, "crops it can write": writable, "the same, no spaces": tight}.items():
        if not part:
            print(f"{name:22s}    0 lines")
            continue
        print(f"{name:22s} {len(part):4d} lines  char {{:.3f}} [{{:.3f}}, {{:.3f}}]".format(*char(part)))
    level, found, total = set(LEVEL_1), 0, 0
    for _, want, got in writable:
        has = Counter(c for c in got if c in level)
        asked = Counter(c for c in want if c in level)
        total += asked.total()
        found += (asked & has).total()
    print(f"level 1: {found} of {total} characters read, {found / max(1, total):.3f}")
    if args.json:
        args.json.write_text(
            json.dumps({args.pictures.name: asdict(Score.of([(want, got) for _, want, got in writable]))}, indent=1)
        )
    if args.worst:
        from ocrfarm_models.training.contact_sheet import draw_sheet

        order = sorted(range(len(rows)), key=lambda i: -distance(rows[i][2], rows[i][1]))
        cv2.imwrite(str(args.worst), draw_sheet([(crops[i][1], rows[i][2]) for i in order]))


if __name__ == "__main__":
    main()
