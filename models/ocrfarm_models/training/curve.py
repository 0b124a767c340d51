"""A run's history as a picture: character accuracy on each validation set against the samples learned from.

python -m ocrfarm_models.training.curve runs/crnn-zh-en/history.csv weights/crnn-zh-en-curve.svg
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw(history: Path, picture: Path) -> None:
    """Draw the curve; the ending of `picture` says in which format."""
    rows = list(csv.DictReader(history.open(encoding="utf8")))
    if not rows:
        raise ValueError(f"{history} has no rows yet: a run writes one at each evaluation")
    samples = [float(row["samples"]) for row in rows]
    figure, axes = plt.subplots(figsize=(7, 4))
    for key in sorted(k for k in rows[-1] if k.endswith("_char")):
        axes.plot(samples, [float(row[key] or "nan") for row in rows], marker="o", label=key.removesuffix("_char"))
    axes.set_xlabel("samples learned from")
    axes.set_ylabel("character accuracy, generated lines")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(picture)
    plt.close(figure)


def main() -> None:
    """Parse options and draw."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("history", type=Path)
    ap.add_argument("picture", type=Path)
    args = ap.parse_args()
    draw(args.history, args.picture)


if __name__ == "__main__":
    main()
