"""How long the same lines take: our file against a recogniser of the registry, each at its own height, same run.

    python -m ocrfarm_models.training.speed crnn-en-int8.onnx --against ppocrv6-rec-int8 --shard runs/shards/line-00000.npz

One thread, batches of 8 lines that are each 20 times as wide as high. The two take turns, so that other work on the machine
hits both; the best and the median of the turns are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from ocrfarm_models.line_image import resize_line, to_batch
from ocrfarm_models.registry import resolve
from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import InputRule
from ocrfarm_models.training.rule import LINE_RULE
from ocrfarm_models.training.shards import read

BATCH, ASPECT = 8, 20


def tensor(crops: list[np.ndarray], rule: InputRule) -> np.ndarray:
    """Return the batch that a model of this rule is given."""
    return to_batch([resize_line(crop, rule) for crop in crops], rule)


def main() -> None:
    """Measure and print."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("onnx", type=Path)
    ap.add_argument("--against", default="ppocrv6-rec-int8")
    ap.add_argument("--shard", type=Path, required=True, help="lines to read")
    ap.add_argument("--turns", type=int, default=15)
    args = ap.parse_args()
    lines = sorted((image for image, _ in read(args.shard)), key=lambda i: abs(i.shape[1] - 32 * ASPECT))[:BATCH]
    crops = [cv2.resize(line, (48 * ASPECT, 48), interpolation=cv2.INTER_CUBIC) for line in lines]
    other = resolve(args.against)
    models = {
        args.onnx.name: (Session(args.onnx, threads=1), tensor(crops, LINE_RULE)),
        args.against: (Session(other.path, threads=1), tensor(crops, other.input)),
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(args.turns + 2):
        for name, (session, batch) in models.items():
            start = time.perf_counter()
            session.run(batch)
            if turn >= 2:
                times[name].append((time.perf_counter() - start) * 1000 / BATCH)
    for name, values in times.items():
        print(
            f"{name:28s} best {min(values):7.2f} ms a line, median {statistics.median(values):7.2f}, input {models[name][1].shape}"
        )
    ours, theirs = times.values()
    print(
        f"ratio: best {min(theirs) / min(ours):.1f}, median {statistics.median(theirs) / statistics.median(ours):.1f}"
    )


if __name__ == "__main__":
    main()
