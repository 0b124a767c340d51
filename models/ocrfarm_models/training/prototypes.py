"""What a head of thousands of classes starts from: where each character's picture lies among all others, before any training.

Linear discriminant analysis (Fisher, 1936; Rao, 1948) of the atlas glyphs: pixels are whitened by how faces differ in the same
character, and the directions kept in which characters differ most. A head that starts there tells 7,000 classes apart at once;
what is left to learn is to bring lines of text into that space, and that is learned from all characters together. From random
rows each class would have to be learned from its own samples.

    python -m ocrfarm_models.training.prototypes --atlases runs/atlas --out runs/prototypes.npz
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ocrfarm_models.training.atlas import EM, Atlas, load

log = logging.getLogger(__name__)

CELL = 24  # a glyph is looked at as CELL x CELL pixels
MARGIN = 12.0  # the median squared distance of a class to its nearest neighbour, after scaling


def cells(atlas: Atlas) -> tuple[np.ndarray, np.ndarray]:
    """Return the class numbers that the face draws and their pictures, float32 n x CELL*CELL, each in its em square."""
    numbers = np.flatnonzero((atlas.advance > 0) & (atlas.width > 0))
    out = np.zeros((len(numbers), CELL, CELL), np.float32)
    base = round(EM * 1.1)
    for row, number in zip(out, numbers, strict=True):
        square = np.zeros((round(EM * 1.5), round(EM * 1.2)), np.uint8)
        glyph = atlas.glyph(int(number))
        left = max(
            0, (square.shape[1] - glyph.shape[1]) // 2
        )  # lines are cut by columns: where a glyph stands says nothing
        top = max(0, base + int(atlas.top[number]))
        part = square[top : top + glyph.shape[0], left : left + glyph.shape[1]]
        part[:] = glyph[: part.shape[0], : part.shape[1]]
        row[:] = cv2.resize(cv2.GaussianBlur(square, (0, 0), 1.0), (CELL, CELL), interpolation=cv2.INTER_AREA)
    return numbers, out.reshape(len(numbers), -1) / 255


def prototypes(atlases: Sequence[Atlas], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (float32 classes x size) and bias (float32 classes) of a head; class 0, the blank, stands at the middle."""
    classes = len(atlases[0].advance)
    drawn = [cells(a) for a in atlases]
    total, count = np.zeros((classes, CELL * CELL)), np.zeros(classes)
    for numbers, pictures in drawn:
        total[numbers] += pictures
        count[numbers] += 1
    mean = total / np.maximum(count, 1)[:, None]
    within, n = np.zeros((CELL * CELL, CELL * CELL)), 0
    for numbers, pictures in drawn:
        off = pictures - mean[numbers]
        within += off.T @ off
        n += len(numbers)
    within /= n
    values, vectors = np.linalg.eigh(within + np.eye(len(within)) * (0.02 * np.trace(within) / len(within)))
    known = count > 0
    centred = (mean - mean[known].mean(axis=0)) @ (vectors / np.sqrt(values)) * known[:, None]
    _, _, directions = np.linalg.svd(centred[known], full_matrices=False)
    place = centred @ directions[:size].T
    nearest = [float(np.partition(((place[known] - p) ** 2).sum(axis=1), 1)[1]) for p in place[known][::7]]
    place *= np.sqrt(MARGIN / np.median(nearest))
    return place.astype(np.float32), (-0.5 * (place**2).sum(axis=1)).astype(np.float32)


def main() -> None:
    """Compute and write."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--atlases", type=Path, default=Path("runs/atlas"))
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--size", type=int, default=256)
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    weight, bias = prototypes(load(args.atlases), args.size)
    np.savez(args.out, weight=weight, bias=bias)
    log.info("%d classes, mean squared length %.1f", len(weight), float((weight**2).sum(axis=1).mean()))


if __name__ == "__main__":
    main()
