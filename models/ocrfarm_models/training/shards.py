"""Rendered samples on disk. Rendering costs more than reading, and a sample may be looked at several times.

A shard is one `.npz` of about 4,096 samples: `pixels` (uint8, 32 x total columns, lines side by side), `widths` (int32) and
`labels` (UTF-8 bytes, lines joined by a newline). Written under a temporary name and renamed, so that a reader never sees
half of one. `python -m ocrfarm_models.training.shards --assets runs/assets --into runs/shards --kind word` renders until stopped.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ocrfarm_models.training.corpus import Corpus
from ocrfarm_models.training.faces import catalog
from ocrfarm_models.training.render import Painter
from ocrfarm_models.training.scenery import backgrounds

log = logging.getLogger(__name__)

KINDS = ["line", "word", "glyph"]  # a line of print; a word of a scene; one to four characters of a scene
Sample = tuple[np.ndarray, str]  # (uint8 32 x W, label)


def write(path: Path, samples: Sequence[Sample]) -> None:
    """Write samples as one shard."""
    pixels = np.concatenate([image for image, _ in samples], axis=1)
    widths = np.array([image.shape[1] for image, _ in samples], np.int32)
    labels = np.frombuffer("\n".join(label for _, label in samples).encode(), np.uint8)
    scratch = path.with_suffix(".tmp.npz")
    np.savez(scratch, pixels=pixels, widths=widths, labels=labels)
    scratch.rename(path)


def read(path: Path) -> list[Sample]:
    """Read one shard back as samples; the pictures are views of one array."""
    with np.load(path) as file:
        pixels, widths, labels = file["pixels"], file["widths"], file["labels"].tobytes().decode().split("\n")
    if len(labels) != len(widths):
        raise ValueError(f"{path}: {len(widths)} pictures and {len(labels)} labels")
    starts = np.concatenate([[0], np.cumsum(widths)])
    return [(pixels[:, a:b], label) for a, b, label in zip(starts[:-1], starts[1:], labels, strict=True)]


def wait_while(pause: Path | None) -> float:
    """Sleep while the pause file exists; return the seconds slept."""
    start = time.monotonic()
    while pause is not None and pause.exists():
        time.sleep(1)
    return time.monotonic() - start


def render_forever(args: argparse.Namespace) -> None:
    """Render shard after shard; rest while `--ahead` of them wait unread or the pause file exists."""
    cv2.setNumThreads(1)
    args.into.mkdir(parents=True, exist_ok=True)
    corpus, faces = Corpus(args.assets), catalog(args.assets)
    number = len(list(args.into.glob(f"{args.kind}-*.npz")))
    while number < args.count:
        seed = args.seed * 1_000_003 + number * 3 + KINDS.index(args.kind)
        scenery = backgrounds(np.random.default_rng(seed), 150)
        painter = Painter(faces, corpus, scenery, seed)
        samples = []
        for i in range(args.size):
            if i % 64 == 0:
                wait_while(args.pause)
            samples.append(
                painter.draw(args.kind != "line", corpus.glyphs(painter.rng) if args.kind == "glyph" else None)
            )
        write(args.into / f"{args.kind}-{number:05d}.npz", samples)
        number += 1
        log.info("%s shard %d", args.kind, number)
        while args.cursor and args.cursor.exists() and number - int(args.cursor.read_text() or 0) > args.ahead:
            time.sleep(5)


def render_validation(args: argparse.Namespace) -> None:
    """Write the generated samples that 'best' is judged by: 800 words and 160 lines, from a seed that training never uses."""
    painter = Painter(catalog(args.assets), Corpus(args.assets), backgrounds(np.random.default_rng(77), 100), 424_242)
    write(args.into / "val_word.npz", [painter.draw(True) for _ in range(800)])
    write(args.into / "val_line.npz", [painter.draw(False) for _ in range(160)])


def main() -> None:
    """Parse options and render."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--assets", type=Path, default=Path("runs/assets"))
    ap.add_argument("--into", type=Path, default=Path("runs/shards"))
    ap.add_argument("--kind", choices=[*KINDS, "val"], default="word")
    ap.add_argument("--size", type=int, default=4096)
    ap.add_argument("--count", type=int, default=1_000_000, help="stop after this many shards")
    ap.add_argument("--ahead", type=int, default=20, help="rest when this many shards are unread")
    ap.add_argument("--cursor", type=Path, help="file in which the reader keeps the number of shards read")
    ap.add_argument("--pause", type=Path, help="rendering sleeps while this file exists")
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.kind == "val":
        args.into.mkdir(parents=True, exist_ok=True)
        render_validation(args)
    else:
        render_forever(args)


if __name__ == "__main__":
    main()
