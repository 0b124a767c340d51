"""Labelled pictures from a folder as shards, in three layouts; every label is checked before anything is trained.

    python -m ocrfarm_models.training.folders --folder DATA --layout labels --alphabet latin --into runs/mine/shards

labels   `labels.tsv` in the folder: file name, tab, text
mjsynth  `annotation*.txt` with one path a line; the text is the part of the file name between its two underscores
         (Jaderberg et al., 2014: `2697/6/466_MONIKER_49537.jpg`)
names    the file name without its ending is the text (the Keras captcha example)

A tenth, chosen by a hash of the file name, becomes `val_<folder>.npz`; the rest `word-*.npz`, which `train` reads.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ocrfarm_models.line_image import resize_line
from ocrfarm_models.training.alphabet import ALPHABETS, Alphabet, clean, steps_needed
from ocrfarm_models.training.rule import LINE_RULE, STRIDE
from ocrfarm_models.training.shards import Sample, write

log = logging.getLogger(__name__)
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
SHARD = 4096


class LabelError(ValueError):
    """A label that cannot be trained on; the message names the file."""


def listed(folder: Path, layout: str) -> Iterator[tuple[Path, str]]:
    """Yield (picture, text as it is written) in the order of the listing."""
    if layout == "labels":
        for number, row in enumerate((folder / "labels.tsv").read_text("utf8").splitlines(), 1):
            name, tab, text = row.partition("\t")
            if not tab:
                raise LabelError(f"{folder / 'labels.tsv'} line {number}: no tab between file name and text")
            yield folder / name, text
    elif layout == "mjsynth":
        lists = sorted(folder.glob("annotation*.txt"))
        if not lists:
            raise LabelError(f"{folder}: no annotation*.txt")
        for row in lists[0].read_text("utf8").splitlines():
            path = folder / row.split(" ")[0]
            parts = path.stem.split("_")
            if len(parts) != 3:
                raise LabelError(f"{path}: the name is not <number>_<text>_<number>")
            yield path, parts[1]
    elif layout == "names":
        for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES):
            yield path, path.stem
    else:
        raise LabelError(f"no layout {layout!r}; there are labels, mjsynth and names")


def vocabulary(texts: Iterator[str] | list[str], least: int = 1) -> str:
    """Return the characters that occur at least `least` times, in code point order, after the labels' cleaning."""
    counts = Counter(c for text in texts for c in clean(text))
    return "".join(sorted(c for c, n in counts.items() if n >= least))


def load(path: Path, text: str, alphabet: Alphabet) -> Sample:
    """Read one picture and check its label; raise LabelError with the file's name where they cannot be trained on."""
    label = clean(text)
    if not label:
        raise LabelError(f"{path}: the text is empty")
    strange = sorted({c for c in label if c not in alphabet.number})
    if strange:
        raise LabelError(f"{path}: {label!r} has characters that the alphabet does not: {' '.join(strange)}")
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE) if path.exists() else None
    if image is None:
        raise LabelError(f"{path}: missing, or not a picture")
    line = resize_line(image, LINE_RULE)
    steps, needed = line.shape[1] // STRIDE, steps_needed(label)
    if steps < needed:
        raise LabelError(
            f"{path}: {label!r} needs {needed} time steps (characters + repeats), the picture gives {steps}"
        )
    return line, label


def samples(folder: Path, layout: str, alphabet: Alphabet, skip_bad: bool = False) -> Iterator[tuple[str, Sample]]:
    """Yield (file name, sample). A bad label ends the run, or is logged and skipped where the user chose that."""
    for path, text in listed(folder, layout):
        try:
            yield path.name, load(path, text, alphabet)
        except LabelError as error:
            if not skip_bad:
                raise
            log.warning("skipped: %s", error)


def for_validation(name: str) -> bool:
    """Say whether a file belongs to the tenth that is validated on."""
    return hashlib.sha256(name.encode()).digest()[0] < 26


def main() -> None:
    """Write the shards and say what is in them."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--folder", type=Path, required=True)
    ap.add_argument("--layout", choices=["labels", "mjsynth", "names"], default="labels")
    ap.add_argument("--alphabet", choices=sorted(ALPHABETS), default="latin")
    ap.add_argument("--into", type=Path, required=True)
    ap.add_argument("--skip-bad", action="store_true", help="log and leave out what cannot be trained on")
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.into.mkdir(parents=True, exist_ok=True)
    alphabet = Alphabet(ALPHABETS[args.alphabet])
    validation: list[Sample] = []
    waiting: list[Sample] = []
    written = 0
    for name, sample in samples(args.folder, args.layout, alphabet, args.skip_bad):
        (validation if for_validation(name) else waiting).append(sample)
        if len(waiting) == SHARD:
            write(args.into / f"word-{written:05d}.npz", waiting)
            written, waiting = written + 1, []
    if waiting:
        write(args.into / f"word-{written:05d}.npz", waiting)
    write(args.into / f"val_{args.folder.name}.npz", validation[:2000])
    log.info("%d shards, %d samples to validate on; characters: %s", written + bool(waiting), len(validation),
             vocabulary(text for _, text in waiting + validation))  # fmt: skip


if __name__ == "__main__":
    main()
