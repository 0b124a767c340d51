"""Real lines: receipts with a quadrilateral and a text a line (the layout of ICDAR 2019 SROIE), two thirds to train on.

The folder holds `<name>.jpg` and `<name>.json` with `{"lines": [{"poly": [x, y, ...], "text": ...}]}`. Receipts are divided by a hash
of their name, so that every run leaves out the same third, and lines of one receipt never fall on both sides.
The labels are upper case whatever the print's case, so training takes the case from a teacher that reads the same line:
see `teach_case`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from ocrfarm_models.line_image import resize_line
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.registry import resolve
from ocrfarm_models.training.alphabet import LATIN, Alphabet, clean
from ocrfarm_models.training.rule import LINE_RULE
from ocrfarm_models.training.shards import write

log = logging.getLogger(__name__)


def held_out(name: str) -> bool:
    """Say whether the receipt of this name belongs to the third that training never sees."""
    return hashlib.sha256(name.encode()).digest()[0] % 3 == 0


def crop(image: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """Cut a quadrilateral (float32 4 x 2, clockwise from the top left) out of a grey picture, straightened."""
    quad = quad.astype(np.float32)
    width = max(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3]))
    height = max(np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[2] - quad[1]))
    w, h = max(1, round(float(width))), max(1, round(float(height)))
    matrix = cv2.getPerspectiveTransform(quad, np.float32([[0, 0], [w, 0], [w, h], [0, h]]))
    return cv2.warpPerspective(image, matrix, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def lines(folder: Path, held: bool, alphabet: Alphabet) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield (receipt and line number, uint8 grey crop, text) of the training (`held` false) or held-out receipts."""
    for side in sorted(folder.glob("*.json")):
        if held_out(side.stem) != held:
            continue
        image = cv2.imread(str(side.with_suffix(".jpg")), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ValueError(f"{side.with_suffix('.jpg')} is not a picture")
        for number, line in enumerate(json.loads(side.read_text("utf8"))["lines"]):
            text = clean(line["text"])
            quad = np.asarray(line["poly"], np.float32).reshape(-1, 2)
            if text and alphabet.knows(text) and len(quad) == 4 and np.ptp(quad[:, 1]) >= 6 and np.ptp(quad[:, 0]) >= 6:
                yield f"{side.stem}#{number}", crop(image, quad), text


def teach_case(text: str, read: str) -> str | None:
    """Return the label in the case that a teacher read, or None where the two disagree by more than case and spaces.

    A label in capitals that the teacher could not confirm would teach capitals for small print.
    """
    bare = lambda t: t.replace(" ", "").casefold()  # noqa: E731  # one short word for what is done twice
    if bare(text) != bare(read):
        return text if sum(c.isupper() for c in read) >= 0.9 * max(1, sum(c.isalpha() for c in read)) else None
    letters = iter(read.replace(" ", ""))
    return "".join(c if c == " " else next(letters) for c in text)


def taught(folder: Path, alphabet: Alphabet, teacher: Callable[[np.ndarray], str]) -> list[tuple[np.ndarray, str]]:
    """Return the training lines as (crop, label with the teacher's case)."""
    out, dropped = [], 0
    for _name, image, text in lines(folder, False, alphabet):
        label = teach_case(text, teacher(image))
        if label is None or not alphabet.knows(label):
            dropped += 1
        else:
            out.append((image, label))
    log.info("%d real lines, %d dropped because their case is not known", len(out), dropped)
    return out


def main() -> None:
    """Write `real.npz` and `val_receipt.npz`."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--folder", type=Path, required=True)
    ap.add_argument("--into", type=Path, default=Path("runs/shards"))
    ap.add_argument("--teacher", default="ppocrv6-rec-int8", help="a recogniser of the registry")
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    alphabet, teacher = Alphabet(LATIN), Recognizer.open(resolve(args.teacher))
    kept = taught(args.folder, alphabet, lambda image: teacher.read([image])[0].text)
    write(args.into / "real.npz", [(resize_line(image, LINE_RULE), text) for image, text in kept])
    held = [(resize_line(image, LINE_RULE), text) for _, image, text in lines(args.folder, True, alphabet)]
    write(args.into / "val_receipt.npz", random.Random(1).sample(held, min(200, len(held))))  # noqa: S311  # a sample to look at, no secret


if __name__ == "__main__":
    main()
