"""Labelled crops that a recogniser's certainty is calibrated on: none of them was trained on, and some it cannot read.

    python -m ocrfarm_models.training.judged_lines --assets runs/assets --receipts RECEIPTS --into runs/judged

Writes one folder a kind, each with pictures and a `labels.tsv` (file name, tab, text):

    print, words   rendered lines of print and words of scenes, from a seed that training never uses
    pages          sheets of print, cut by the farm's detector: loose and tight crops, neighbours that reach in
    receipts       the receipts that training leaves out, cut by the detector, labels in the case that a teacher reads
    han            lines in Chinese, Japanese and Korean signs, half of them with Latin letters and digits beside
    turned         lines that stand on their head
    nothing        surfaces without text

A Latin recogniser must not be sure of the last three kinds.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ocrfarm_models.build import build
from ocrfarm_models.detector import Detector
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.registry import resolve
from ocrfarm_models.training import degrade
from ocrfarm_models.training.alphabet import LATIN, Alphabet, clean
from ocrfarm_models.training.corpus import Corpus
from ocrfarm_models.training.faces import Face, catalog
from ocrfarm_models.training.receipts import crop, held_out, teach_case
from ocrfarm_models.training.render import Painter
from ocrfarm_models.training.scenery import backgrounds
from ocrfarm_models.training.strokes import ink

log = logging.getLogger(__name__)

Labelled = Iterator[tuple[np.ndarray, str]]
HAN_FONTS = [f"/usr/share/fonts/opentype/noto/Noto{style}CJK-{weight}.ttc"
             for style in ("Sans", "Serif") for weight in ("Regular", "Bold")] + [
             "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc"]  # fmt: skip
SIDE = 1000  # pixels: the width of a sheet


def signs() -> list[str]:
    """Return the characters of the Chinese, Japanese and Korean lines, one string a script."""
    simple = "".join(bytes((a, b)).decode("gb2312") for a in range(0xB0, 0xD7) for b in range(0xA1, 0xFF))
    traditional = "".join(bytes((a, b)).decode("big5") for a in range(0xA4, 0xB8) for b in range(0x40, 0x7F))
    kana = "".join(map(chr, [*range(0x3042, 0x3093), *range(0x30A2, 0x30F3)]))
    return [simple, simple, traditional, kana, "".join(map(chr, range(0xAC00, 0xD7A3, 31)))]


def han_text(rng: random.Random, corpus: Corpus, scripts: list[str]) -> str:
    """Return a line that holds at least one sign which no Latin recogniser knows."""
    pool = rng.choice(scripts)
    text = "".join(rng.choice(pool) for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 6, 8, 12, 16, 20])))
    if rng.random() < 0.5:
        beside = corpus.number(rng) if rng.random() < 0.5 else corpus.word(rng)
        text = rng.choice([text + beside, beside + text, f"{text} {beside}", text[:1] + beside, f"{beside} {text[:1]}"])
    return text


class HanPainter(Painter):
    """A painter whose faces draw Han, kana and hangul."""

    def _face(self, text: str, scene: bool) -> tuple[str, Face]:  # noqa: ARG002  # the signature that the composer calls
        path = self.rng.choice([f for f in HAN_FONTS if Path(f).exists()])
        return text, Face(path, "han", text, False)


def sheet(painter: Painter) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
    """Draw a page of print: uint8 grey, and the boxes (x0, y0, x1, y1) of its lines with what they say."""
    rng, lines, y = painter.rng, [], rng_margin(painter.rng)
    page = np.ones((rng.randint(900, 1400), SIDE), np.float32)
    wanted = painter.corpus.line(rng)
    _, face = painter._face(wanted, False)
    high = rng.choice([13, 15, 17, 19, 22, 26, 32])
    while y < len(page) - 60:
        text = painter.corpus.line(rng)
        if rng.random() < 0.15:
            high, face = rng.choice([14, 18, 24, 36]), painter._face(text, False)[1]
        mask = ink(text, face, rng)
        if all(c in face.covers for c in text.replace(" ", "")) and min(mask.shape) > 5:
            scale = high / 44
            size = max(4, round(mask.shape[1] * scale)), max(4, round(mask.shape[0] * scale))
            x = rng_margin(rng)
            if x + size[0] < SIDE - 15 and y + size[1] < len(page) - 15:
                drawn = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
                page[y : y + size[1], x : x + size[0]] -= drawn * rng.uniform(0.55, 0.95)
                lines.append((np.array([x, y, x + size[0], y + size[1]]), text))
                y += size[1]
        y += int(high * rng.uniform(0.15, 1.1))
    paper = rng.uniform(0.75, 1) + (painter.background(*page.shape) - 0.5) * rng.uniform(0, 0.2)
    return degrade.photograph(np.clip(page, 0, 1) * paper, rng, painter.np_rng, gentle=True), lines


def rng_margin(rng: random.Random) -> int:
    """Return a margin in pixels."""
    return rng.randint(20, 90)


def cut(page: np.ndarray, lines: list[tuple[np.ndarray, str]], detector: Detector) -> Labelled:
    """Yield (crop, label) of the regions that the detector finds on a grey page and that are one of its lines and no more."""
    for region in detector.detect(cv2.cvtColor(page, cv2.COLOR_GRAY2BGR)):
        low, high = region.polygon.min(axis=0), region.polygon.max(axis=0)
        inside = []
        for box, text in lines:
            wide, tall = np.minimum(high, box[2:]) - np.maximum(low, box[:2])
            if wide > 0 and tall > 0.5 * min(high[1] - low[1], box[3] - box[1]):
                inside.append((wide / (box[2] - box[0]), wide / (high[0] - low[0]), text))
        if len(inside) == 1 and inside[0][0] > 0.97 and inside[0][1] > 0.85:
            yield crop(page, region.polygon), inside[0][2]


def receipts(folder: Path, detector: Detector, teacher: Recognizer) -> Labelled:
    """Yield lines of the receipts that training leaves out, labelled in the teacher's case."""
    alphabet = Alphabet(LATIN)
    for side in sorted(folder.glob("*.json")):
        if not held_out(side.stem):
            continue
        image = cv2.imread(str(side.with_suffix(".jpg")), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ValueError(f"{side.with_suffix('.jpg')} is not a picture")
        lines = []
        for line in json.loads(side.read_text("utf8"))["lines"]:
            quad = np.asarray(line["poly"], np.float32).reshape(-1, 2)
            lines.append((np.concatenate([quad.min(axis=0), quad.max(axis=0)]), clean(line["text"])))
        found = list(cut(np.asarray(image, np.uint8), lines, detector))
        for (picture, text), read in zip(found, teacher.read([p for p, _ in found]), strict=True):
            label = teach_case(text, read.text)
            if label is not None and alphabet.knows(label):
                yield picture, label


def write(folder: Path, labelled: Labelled) -> None:
    """Write one kind."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (picture, text) in enumerate(labelled):
        name = f"{number:05d}.png"
        cv2.imwrite(str(folder / name), picture)
        rows.append(f"{name}\t{text}\n")
    (folder / "labels.tsv").write_text("".join(rows), "utf8")
    log.info("%s: %d", folder.name, len(rows))


def main() -> None:
    """Render, cut, write."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--assets", type=Path, default=Path("runs/assets"))
    ap.add_argument("--receipts", type=Path, help="left out: none")
    ap.add_argument("--into", type=Path, default=Path("runs/judged"))
    ap.add_argument(
        "--lines", type=int, default=1200, help="of print, and as many words; the other kinds in proportion"
    )
    ap.add_argument("--seed", type=int, default=909_091)
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cv2.setNumThreads(1)
    build(["ppocrv6-det-int8", "ppocrv6-rec"])
    detector = Detector.open(resolve("ppocrv6-det-int8"))
    corpus, scenery = Corpus(args.assets), backgrounds(np.random.default_rng(args.seed), 100)
    painter = Painter(catalog(args.assets), corpus, scenery, args.seed)
    han = HanPainter(catalog(args.assets), corpus, scenery, args.seed)
    scripts, n = signs(), args.lines
    write(args.into / "print", (painter.draw(False) for _ in range(n)))
    write(args.into / "words", (painter.draw(True) for _ in range(n)))
    write(args.into / "han", (han.draw(han.rng.random() < 0.3, han_text(han.rng, corpus, scripts)) for _ in range(n)))
    upright = (painter.draw(i % 2 == 1) for i in range(n // 2))
    write(args.into / "turned", ((np.ascontiguousarray(p[::-1, ::-1]), text) for p, text in upright))
    surfaces = ((painter.background(32, painter.rng.randint(32, 300)) * 255).astype(np.uint8) for _ in range(n // 6))
    write(args.into / "nothing", ((p, "(nothing)") for p in surfaces))
    write(args.into / "pages", (line for _ in range(n // 30) for line in cut(*sheet(painter), detector)))
    if args.receipts:
        write(args.into / "receipts", receipts(args.receipts, detector, Recognizer.open(resolve("ppocrv6-rec"))))


if __name__ == "__main__":
    main()
