"""Score a recogniser by set, with intervals, and draw its worst lines.

    python -m ocrfarm_models.training.evaluate MODEL --data FOLDER [--receipts FOLDER] [--shards FOLDER] \\
        [--worst runs/worst.png] [--json runs/scores.json]

MODEL is a checkpoint (`.pt`) or an exported file (`.onnx`). FOLDER holds one folder a set, each with a `labels.tsv` (file name, tab,
text): words and lines are read whole, without detection. `--receipts` adds the lines of the third of the receipts that training leaves
out, `--shards` the generated lines that training is judged by (`val_*.npz`). Scores: `ci` casefolded letters and digits only,
`exact` after NFKC, `char` 1 - edits / label length, `char_ci` the same casefolded; Wilson intervals of 95% for the shares.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.spec import ModelSpec
from ocrfarm_models.training.alphabet import LATIN, Alphabet
from ocrfarm_models.training.contact_sheet import draw_sheet
from ocrfarm_models.training.export import load_network
from ocrfarm_models.training.reading import Reader, Reading
from ocrfarm_models.training.receipts import lines
from ocrfarm_models.training.rule import LINE_RULE
from ocrfarm_models.training.scores import Score, distance, norm, wilson
from ocrfarm_models.training.shards import read

log = logging.getLogger(__name__)

Labelled = list[tuple[np.ndarray, str]]


class Reads(Protocol):
    """Whatever reads uint8 crops."""

    def read(self, crops: Sequence[np.ndarray]) -> list[Reading]:
        """Return one reading a crop, in order."""
        ...


class Served:
    """An exported recogniser behind the farm's own `Recognizer`, one thread: what is scored is what is served."""

    def __init__(self, path: Path) -> None:
        spec = ModelSpec(
            path.stem, "recognizer", path, "", "", path.stem, LINE_RULE, charset="metadata:charset", blank=0
        )
        self.recognizer = Recognizer.open(spec, threads=1)

    def read(self, crops: Sequence[np.ndarray]) -> list[Reading]:
        """Read crops of any size; one reading a crop, in the order given."""
        return [Reading(line.text, line.weakest) for line in self.recognizer.read(crops)]


def open_reader(path: Path) -> Reads:
    """Open a checkpoint or an exported file."""
    if path.suffix == ".onnx":
        return Served(path)
    network, alphabet, _ = load_network(path)
    return Reader(network, alphabet)


def labelled_sets(folder: Path, only: Sequence[str] = ()) -> Iterator[tuple[str, Labelled]]:
    """Yield (set, labelled crops) for each folder with a `labels.tsv`; a listed file that is no picture is an error."""
    for listing in sorted(folder.glob("*/labels.tsv")):
        if only and listing.parent.name not in only:
            continue
        labelled: Labelled = []
        for row in listing.read_text("utf8").splitlines():
            name, _, label = row.partition("\t")
            if not label or not (listing.parent / name).exists():
                continue
            image = cv2.imread(str(listing.parent / name), cv2.IMREAD_COLOR)
            if image is None:
                raise ValueError(f"{listing.parent / name} is not a picture")
            labelled.append((np.asarray(image, np.uint8), label))
        yield listing.parent.name, labelled


def report(name: str, score: Score) -> str:
    """Return one line of the table."""
    low, high = wilson(score.ci * score.n, score.n)
    return (f"{name:28s} n {score.n:5d}  ci {score.ci:.3f} [{low:.3f}, {high:.3f}]  exact {score.exact:.3f}  "
            f"char {score.char:.3f}  char_ci {score.char_ci:.3f}")  # fmt: skip


def main() -> None:
    """Read, score, print, draw."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model", type=Path)
    ap.add_argument("--data", type=Path)
    ap.add_argument("--sets", nargs="*", default=[], help="only these sets")
    ap.add_argument("--receipts", type=Path)
    ap.add_argument("--shards", type=Path)
    ap.add_argument("--worst", type=Path)
    ap.add_argument("--json", type=Path)
    args = ap.parse_args()
    reader = open_reader(args.model)
    sets = dict(labelled_sets(args.data, args.sets)) if args.data else {}
    if args.shards:
        sets |= {p.stem: read(p) for p in sorted(args.shards.glob("val_*.npz"))}
    if not sets and not args.receipts:
        ap.error("nothing to evaluate: name --data, --shards or --receipts")
    if args.receipts:
        sets["receipts_held_out"] = [(image, text) for _, image, text in lines(args.receipts, True, Alphabet(LATIN))]
    scores, worst = {}, []
    for name, labelled in sets.items():
        readings = reader.read([image for image, _ in labelled])
        pairs = [(label, reading.text) for (_, label), reading in zip(labelled, readings, strict=True)]
        scores[name] = asdict(Score.of(pairs))
        print(report(name, Score.of(pairs)))
        for (image, _), (label, text) in zip(labelled, pairs, strict=True):
            wrong = distance(norm(text).casefold(), norm(label).casefold()) / max(len(label), 1)
            if wrong:
                worst.append((wrong, image, f"{label} > {text}"))
    if args.worst:
        worst.sort(key=lambda w: -w[0])
        cv2.imwrite(str(args.worst), draw_sheet([(image, caption) for _, image, caption in worst]))
    if args.json:
        args.json.write_text(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
