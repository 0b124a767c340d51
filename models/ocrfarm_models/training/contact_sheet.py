"""A picture of samples with their labels: look at what is trained on before it is trained on.

python -m ocrfarm_models.training.contact_sheet runs/shards/word-00000.npz runs/words.png
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ocrfarm_models.line_image import resize_line
from ocrfarm_models.training.rule import LINE_RULE
from ocrfarm_models.training.shards import read

ROW, CAPTION, GAP = 32, 16, 8  # pixels


def draw_sheet(samples: Sequence[tuple[np.ndarray, str]], width: int = 1600, rows: int = 20) -> np.ndarray:
    """Return a uint8 grey picture of as many (picture, caption) pairs as fit, in the order given."""
    font = ImageFont.load_default(size=12)
    sheet = Image.new("L", (width, rows * (ROW + CAPTION + GAP)), 255)
    pen = ImageDraw.Draw(sheet)
    x = y = 0
    for picture, caption in samples:
        line = resize_line(picture, LINE_RULE)[:, :width]
        wide = max(line.shape[1], int(pen.textlength(caption, font=font)))
        if x and x + wide > width:
            x, y = 0, y + ROW + CAPTION + GAP
        if y >= sheet.height:
            break
        sheet.paste(Image.fromarray(line), (x, y))
        pen.text((x, y + ROW), caption, font=font, fill=0)
        x += wide + GAP
    return np.asarray(sheet)


def main() -> None:
    """Draw a shard's samples."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("shard", type=Path)
    ap.add_argument("picture", type=Path)
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    samples = read(args.shard)
    random.Random(args.seed).shuffle(samples)  # noqa: S311 - nothing secret is drawn
    cv2.imwrite(str(args.picture), draw_sheet(samples))


if __name__ == "__main__":
    main()
