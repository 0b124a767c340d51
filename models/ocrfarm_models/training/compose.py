"""Put a line together from atlas glyphs and show it as a screen, a page or a scan would: picture, label and where each character stands.

Because the places are known, a network can be told at which column to say which character (`marks`), and needs no CTC to
find out. That spares the plateau on which CTC says blank everywhere, and most of the cost of thousands of classes.

    python -m ocrfarm_models.training.compose --atlases runs/atlas --assets runs/assets --into runs/shards-zh

writes what training is judged by, from a seed of its own: `val_level1.npz` (level 1 in no order), `val_face.npz` (prose in a face that
training never uses), and `composed-00000.npz`, lines for the calibration of 8 bits and for the clock.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ocrfarm_models.line_image import resize_line
from ocrfarm_models.training import degrade
from ocrfarm_models.training.alphabet import CHINESE, LEVEL_1, Alphabet
from ocrfarm_models.training.atlas import EM, Atlas, load
from ocrfarm_models.training.chinese import ChineseCorpus
from ocrfarm_models.training.rule import LINE_RULE, STRIDE
from ocrfarm_models.training.shards import write

HIGH, BASE = EM * 2, EM + EM // 2  # rows of the drawing, the row of the baseline
MAX_COLUMNS = 704
HELD_OUT = "wqy-zenhei"  # a screen face that training never draws with


@dataclass(frozen=True)
class Composed:
    """One line: `image` uint8 32 x W, its label, and `columns`, where each character's middle stands (float32, pixels of W)."""

    image: np.ndarray
    text: str
    columns: np.ndarray


def marks(codes: Sequence[int], columns: np.ndarray, steps: int) -> np.ndarray | None:
    """Return what each step should say: int64 `steps`; k class k, 0 blank, -k either of the two. None where they do not fit.

    A character is said at the step of its middle; narrow neighbours move by up to two steps, equal ones keep a blank between.
    """
    at = np.floor(columns / STRIDE).astype(int)
    placed: list[int] = []
    for i, (code, step) in enumerate(zip(codes, at, strict=True)):
        first = 0 if not i else placed[-1] + (2 if code == codes[i - 1] else 1)
        placed.append(max(int(step), first))
    last = steps
    for i in range(len(placed) - 1, -1, -1):
        last = min(placed[i], last - 1 if i == len(placed) - 1 or codes[i] != codes[i + 1] else last - 2)
        placed[i] = last
    if placed and (placed[0] < 0 or max(abs(p - a) for p, a in zip(placed, at, strict=True)) > 2):
        return None
    out = np.zeros(steps, np.int64)
    for code, step in zip(codes, placed, strict=True):
        for beside in (step - 1, step + 1):
            if 0 <= beside < steps and out[beside] == 0:
                out[beside] = -code
    for i in range(1, len(placed)):  # between equal neighbours there must be a blank
        if codes[i] == codes[i - 1] and placed[i] - placed[i - 1] <= 3:
            out[(placed[i] + placed[i - 1]) // 2] = 0
    out[placed] = codes
    return out


class Composer:
    """Composes lines for one process; everything random comes from `seed`."""

    def __init__(
        self, atlases: Sequence[Atlas], corpus: ChineseCorpus, alphabet: Alphabet, seed: int, held_out: bool = False
    ) -> None:
        self.chinese = [a for a in atlases if a.chinese and a.name.startswith(HELD_OUT) == held_out]
        self.plain = [
            a for a in self.chinese if any(word in a.name.lower() for word in ("sans", "hei"))
        ] or self.chinese
        self.latin = [a for a in atlases if not a.chinese]
        self.corpus, self.alphabet = corpus, alphabet
        self.rng = random.Random(seed)  # noqa: S311 - nothing secret is drawn
        self.noise = np.random.default_rng(seed)

    def draw(self, text: str | None = None) -> Composed:
        """Return one line; `text` or one of the corpus."""
        for _ in range(30):
            line = self._try(text or self.corpus.line(self.rng, self.rng.choice([8, 14, 22])))
            if line is not None:
                return line
        raise RuntimeError(f"nothing could be composed for {text!r}")

    def _try(self, text: str) -> Composed | None:
        rng = self.rng
        codes = self.alphabet.encode(text)
        drawn = self._ink(codes)
        if drawn is None:
            return None
        ink, middles = drawn
        picture, x0, x1 = self._show(ink)
        line = resize_line(picture, LINE_RULE)
        wide = line.shape[1]
        if not 8 <= wide <= MAX_COLUMNS:
            return None
        stretch = rng.uniform(0.85, 1.18) if rng.random() < 0.4 else 1.0
        if stretch != 1.0:
            wide = max(8, round(wide * stretch))
            line = cv2.resize(line, (wide, LINE_RULE.height), interpolation=cv2.INTER_LINEAR)
        columns = ((middles - x0) * (wide / (x1 - x0))).astype(np.float32)
        if marks(codes, columns, wide // STRIDE) is None:
            return None
        return Composed(line.astype(np.uint8, copy=False), text, columns)

    def _ink(self, codes: Sequence[int]) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the drawing (uint8 HIGH x W) and the middle of each character in it, or None where no face has them all."""
        rng = self.rng
        face = rng.choice(self.plain if rng.random() < 0.5 else self.chinese)
        other = rng.choice(self.latin) if rng.random() < 0.6 else face
        latin = self.alphabet.number["，"]  # the classes below it are Latin's
        pieces = [other if c < latin and other.has(c) else face if face.has(c) else other for c in codes]
        if not all(a.has(c) for a, c in zip(pieces, codes, strict=True)):
            return None
        space = rng.uniform(-0.04, 0.25) * EM if rng.random() < 0.2 else 0.0
        squash = rng.uniform(0.5, 0.7) if rng.random() < 0.1 else 1.0  # stops at half width, as some programs set them
        pen, places = float(EM), []
        for atlas, code in zip(pieces, codes, strict=True):
            advance = float(atlas.advance[code])
            if squash < 1 and latin <= code < latin + 7 and atlas.width[code] < advance * squash:
                pen -= float(atlas.left[code]) - 2 if atlas.left[code] > 2 else 0
                advance = advance * squash + max(0.0, float(atlas.left[code]) - 2)
            places.append(pen)
            pen += advance + space
        ink = np.zeros((HIGH, int(pen) + EM * 2), np.uint8)
        middles = np.zeros(len(codes))
        for i, (atlas, code, x) in enumerate(zip(pieces, codes, places, strict=True)):
            glyph = atlas.glyph(code)
            middles[i] = x + float(atlas.advance[code]) / 2
            if not glyph.size:
                continue
            left, top = max(0, round(x) + int(atlas.left[code])), BASE + int(atlas.top[code])
            if top < 0:
                glyph, top = glyph[-top:], 0
            part = ink[top : top + glyph.shape[0], left : left + glyph.shape[1]]
            np.maximum(part, glyph[: part.shape[0], : part.shape[1]], out=part)
            middles[i] = left + glyph.shape[1] / 2
        return (ink, middles) if ink.any() else None

    def _show(self, ink: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Return the line as uint8 at the size a screen would have, and the drawing's columns that it shows."""
        rng = self.rng
        if rng.random() < 0.12:
            ink = degrade.weight(ink, rng)
        rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        if (
            y1 - y0 < EM * 0.8
        ):  # a line of dashes or dots is not as high as its ink; nor is it quite as high as the letters
            y0, y1 = min(y0, BASE - int(EM * 0.85)), max(y1, BASE + int(EM * 0.1))
        loose = 0.12 if rng.random() < 0.75 else 0.3
        y0, y1 = y0 - rng.uniform(-0.03, loose) * EM, y1 + rng.uniform(-0.03, loose) * EM
        x0, x1 = x0 - rng.uniform(-0.03, 0.3) * EM, x1 + rng.uniform(-0.03, 0.3) * EM
        high = int(rng.triangular(13, 56, 28))
        scale = high / (y1 - y0)
        wide = max(4, round((x1 - x0) * scale))
        shear = rng.uniform(-0.2, 0.25) if rng.random() < 0.06 else 0.0
        tilt = rng.gauss(0, 0.004) if rng.random() < 0.2 else 0.0
        matrix = np.float32([[scale, -scale * shear, (-x0 + shear * (y0 + y1) / 2) * scale],
                             [scale * tilt, scale, (-y0 - tilt * (x0 + x1) / 2) * scale]])  # fmt: skip
        if scale < 0.8:
            ink = cv2.GaussianBlur(ink, (0, 0), 0.42 / scale)
        core = cv2.warpAffine(ink, matrix, (wide, high), flags=cv2.INTER_LINEAR).astype(np.float32) / 255
        return self._colour(core), x0, x1

    def _colour(self, core: np.ndarray) -> np.ndarray:
        """Lay the ink on paper, light or dark, and spoil the picture a little; return uint8."""
        rng = self.rng
        h, w = core.shape
        contrast = rng.uniform(0.5, 1.0) if rng.random() < 0.8 else rng.uniform(0.18, 0.5)
        light = rng.uniform(contrast, 1.0)
        paper_tone, ink_tone = (light, light - contrast) if rng.random() < 0.65 else (light - contrast, light)
        paper: np.ndarray | float = paper_tone
        if rng.random() < 0.15:  # a picture or a gradient behind
            slope = np.linspace(-1, 1, w, dtype=np.float32) * rng.uniform(-0.3, 0.3) * contrast
            grain = cv2.resize(
                self.noise.standard_normal((3, max(2, w // 12)), np.float32), (w, h), interpolation=cv2.INTER_LINEAR
            )
            paper = paper_tone + slope + grain * (contrast * rng.uniform(0, 0.12))
        if rng.random() < 0.08:  # the lines above and below reach in
            reach = rng.randint(1, max(1, h // 9))
            shift = rng.randrange(w)
            if rng.random() < 0.5:
                core[:reach] = np.maximum(core[:reach], np.roll(core[-reach * 2 : -reach], shift, axis=1))
            else:
                core[-reach:] = np.maximum(core[-reach:], np.roll(core[reach : reach * 2], shift, axis=1))
        picture = paper * (1 - core) + ink_tone * core
        if rng.random() < 0.06:  # an underline, a table rule
            degrade.rule(picture, rng, ink_tone)
        r = rng.random()
        if r < 0.5:  # a screen as it is
            return (np.clip(picture, 0, 1) * 255).astype(np.uint8)
        if r < 0.65:
            return degrade.photograph(picture, rng, self.noise, gentle=True)
        if r < 0.8:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.02 * h + 0.3))
        if rng.random() < 0.4:
            picture = picture + self.noise.standard_normal((h, w), np.float32) * rng.uniform(0, 0.04)
        out = (np.clip(picture, 0, 1) * 255).astype(np.uint8)
        if rng.random() < 0.7:
            ok, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(30, 92)])
            if ok:
                out = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
        return out


def main() -> None:
    """Write the lines that training is judged by, and those for calibration."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--atlases", type=Path, default=Path("runs/atlas"))
    ap.add_argument("--assets", type=Path, default=Path("runs/assets"))
    ap.add_argument("--into", type=Path, required=True)
    args = ap.parse_args()
    args.into.mkdir(parents=True, exist_ok=True)
    atlases, corpus, alphabet = load(args.atlases), ChineseCorpus(args.assets), Alphabet(CHINESE)
    known = Composer(atlases, corpus, alphabet, 424_242)
    strange = Composer(atlases, corpus, alphabet, 424_243, held_out=True)
    order = list(LEVEL_1)
    known.rng.shuffle(order)  # 240 lines of 16: each of the 3,755 once, some twice
    texts = ["".join((order + order)[i : i + 16]) for i in range(0, 240 * 16, 16)]
    sets = {"val_level1": [known.draw(text) for text in texts], "val_face": [strange.draw() for _ in range(200)],
            "composed-00000": [known.draw() for _ in range(512)]}  # fmt: skip
    for name, lines in sets.items():
        write(args.into / f"{name}.npz", [(line.image, line.text) for line in lines])


if __name__ == "__main__":
    main()
