"""Draw one line or word as a camera or scanner might have seen it: uint8 grey, any height, with its label.

The order is that of Jaderberg et al. (2014, "Synthetic data and artificial neural networks for natural scene text
recognition"): ink, border and shadow, colouring, projective distortion, blending with a background, noise. All of it in
grey, at the resolution of the crop, because a recogniser that reads 32 grey rows needs no more and rendering must be fast.
"""

from __future__ import annotations

import random

import cv2
import numpy as np

from ocrfarm_models.line_image import resize_line
from ocrfarm_models.training import degrade
from ocrfarm_models.training.alphabet import steps_needed
from ocrfarm_models.training.corpus import Corpus
from ocrfarm_models.training.faces import Face
from ocrfarm_models.training.rule import LINE_RULE, STRIDE
from ocrfarm_models.training.strokes import fit, ink

MAX_WORD, MAX_LINE = 384, 704  # columns; longer ones are drawn again: training time goes by columns

# What offices, tills and typewriters print with; the other faces are for the rest.
OFFICE = ("fonts-liberation", "fonts-freefont", "fonts-croscore", "fonts-texgyre", "fonts-crosextra", "fonts-courier", "fonts-dejavu",
          "fonts-noto-core", "fonts-noto-mono", "fonts-roboto", "fonts-open-sans", "fonts-ocr", "fonts-lato", "fonts-cmu")  # fmt: skip


class Painter:
    """Renders samples for one process: holds faces, texts and backgrounds; `draw` is given the random state by seed."""

    def __init__(self, faces: list[Face], corpus: Corpus, scenery: np.ndarray, seed: int) -> None:
        packages: dict[str, list[Face]] = {}
        for face in faces:
            packages.setdefault(face.package, []).append(face)
        self.packages = list(packages.values())
        self.plain = [
            p for p in self.packages if p[0].package.startswith("fonts-")
        ]  # Debian's: print more than display
        self.office = [p for p in self.packages if p[0].package.startswith(OFFICE)] or self.plain
        self.corpus, self.scenery = corpus, scenery
        self.rng = random.Random(seed)  # noqa: S311 - nothing secret is drawn
        self.np_rng = np.random.default_rng(seed)

    def _face(self, text: str, scene: bool) -> tuple[str, Face]:
        kind = 0.0 if scene else self.rng.random()
        pool = self.packages if kind < 0.15 else self.plain if kind < 0.45 else self.office
        for _ in range(30):
            face = self.rng.choice(self.rng.choice(pool))
            fitted = fit(text, face)
            if fitted:
                return fitted, face
        wide = max((f for p in self.packages for f in p), key=lambda f: len(f.covers))
        return text, wide

    def background(self, high: int, wide: int) -> np.ndarray:
        """Return a piece of scenery: float32 high x wide, 0..1, with its contrast still full."""
        picture = self.scenery[self.rng.randrange(len(self.scenery))]
        zoom = self.rng.uniform(0.35, 2.0)
        h = int(min(max(high * zoom, 4), picture.shape[0]))
        w = int(min(max(wide * zoom, 4), picture.shape[1]))
        y, x = self.rng.randint(0, picture.shape[0] - h), self.rng.randint(0, picture.shape[1] - w)
        piece = cv2.resize(picture[y : y + h, x : x + w], (wide, high), interpolation=cv2.INTER_LINEAR)
        return piece.astype(np.float32) * np.float32(1 / 255)

    def draw(self, scene: bool, text: str | None = None) -> tuple[np.ndarray, str]:
        """Return (uint8 32 x W, label): a word of a scene, or a line of print."""
        rng = self.rng
        for _ in range(20):
            wanted = text or (self.corpus.word(rng) if scene else self.corpus.line(rng))
            label, face = self._face(wanted, scene)
            picture = self._scene(label, face) if scene else self._print(label, face)
            if picture is not None:
                line = resize_line(picture, LINE_RULE)
                if 6 <= line.shape[1] <= (MAX_WORD if scene else MAX_LINE) and line.shape[1] // STRIDE >= steps_needed(
                    label
                ):
                    return line, label
        raise RuntimeError(f"nothing could be drawn for {text!r}")

    # -- scenes ---------------------------------------------------------------------------------------------------------

    def _scene(self, text: str, face: Face) -> np.ndarray | None:
        rng = self.rng
        spacing = wobble = 0.0
        shrink = 1.0
        if rng.random() < 0.30:
            spacing = rng.uniform(-0.05, 0.06) if rng.random() < 0.5 else rng.uniform(0.05, 0.45)
        if rng.random() < 0.06:
            wobble = rng.uniform(0.02, 0.12)
        if len(text) > 2 and text.isupper() and rng.random() < 0.05:
            shrink = rng.uniform(0.7, 0.9)
        mask = ink(text, face, rng, spacing, wobble, shrink)
        if mask.size == 0 or mask.shape[0] < 5:
            return None
        pad = 12
        mask = cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
        if rng.random() < 0.12:
            mask = degrade.weight(mask, rng)
        layers = self._neighbours(mask, face) if rng.random() < 0.10 else [mask]
        core, extra = layers[0], layers[1] if len(layers) > 1 else None
        r = rng.random()
        edge = None  # outline or shadow, below the ink
        if r < 0.14:
            k = rng.choice([3, 3, 5, 5, 7])
            edge = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (k, k)))
        elif r < 0.36:
            dx, dy = rng.randint(-5, 5), rng.randint(-4, 5)
            edge = cv2.warpAffine(core, np.float32([[1, 0, dx], [0, 1, dy]]), (core.shape[1], core.shape[0]))
            if rng.random() < 0.3:  # letters with depth
                for i in range(1, max(abs(dx), abs(dy))):
                    part = max(abs(dx), abs(dy))
                    step = np.float32([[1, 0, dx * i / part], [0, 1, dy * i / part]])
                    edge = np.maximum(edge, cv2.warpAffine(core, step, (core.shape[1], core.shape[0])))
            if rng.random() < 0.6:
                edge = cv2.GaussianBlur(edge, (0, 0), rng.uniform(0.5, 3))
        hollow = rng.random() < 0.04
        if hollow:
            core = cv2.morphologyEx(core, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        if rng.random() < 0.16:
            bend = degrade.bend_map(core.shape, rng)
            core = cv2.remap(core, *bend, cv2.INTER_LINEAR)
            edge = cv2.remap(edge, *bend, cv2.INTER_LINEAR) if edge is not None else None
            extra = cv2.remap(extra, *bend, cv2.INTER_LINEAR) if extra is not None else None
        high = int(rng.triangular(11, 48, 30))
        matrix, size = degrade.camera(core, high, rng)
        if size[0] < 6 or size[0] > 900:
            return None
        warp = [cv2.warpPerspective(m, matrix, size, flags=cv2.INTER_AREA).astype(np.float32) / 255 if m is not None else None
                for m in (core, edge, extra)]  # fmt: skip
        return self._blend(*warp)

    def _neighbours(self, mask: np.ndarray, face: Face) -> list[np.ndarray]:
        """Return the word and a layer with pieces of other words beside, above or below it."""
        other = ink(self.corpus.word(self.rng), face, self.rng)
        extra = np.zeros_like(mask)
        h, w = extra.shape
        if other.size:
            other = other[:h, :w]
            oh, ow = other.shape
            side = self.rng.randrange(4)
            inside = 8
            if side == 0:
                extra[:inside, :ow][-oh:] = other[-inside:][:inside][-min(oh, inside) :] if oh >= inside else other
            elif side == 1:
                extra[h - min(inside, oh) :, :ow] = other[: min(inside, oh)]
            elif side == 2:
                extra[:oh, : min(inside, ow)] = other[:, -min(inside, ow) :]
            else:
                extra[:oh, w - min(inside, ow) :] = other[:, : min(inside, ow)]
        return [mask, extra]

    def _blend(self, core: np.ndarray, edge: np.ndarray | None, extra: np.ndarray | None) -> np.ndarray:
        """Colour the ink, lay it over a background, spoil the picture; return uint8."""
        rng = self.rng
        h, w = core.shape
        contrast = rng.uniform(0.13, 0.35) if rng.random() < 0.3 else rng.uniform(0.35, 0.95)
        middle = rng.uniform(contrast / 2, 1 - contrast / 2)
        sign = 1 if rng.random() < 0.5 else -1
        paper_tone, ink_tone = middle - sign * contrast / 2, middle + sign * contrast / 2
        texture = self.background(h, w) - 0.5
        rough = contrast * (rng.uniform(0, 0.12) if rng.random() < 0.55 else rng.uniform(0.12, 0.9))
        paper = paper_tone + texture * rough
        colour: np.ndarray | float = ink_tone
        if rng.random() < 0.3:
            colour = ink_tone + (self.background(h, w) - 0.5) * contrast * rng.uniform(0, 0.7)
        if edge is not None:
            tone = rng.random() if rng.random() < 0.5 else float(np.clip(paper_tone - sign * rng.uniform(0, 0.4), 0, 1))
            alpha = edge * rng.uniform(0.3, 1)
            paper = paper * (1 - alpha) + tone * alpha
        if extra is not None:
            paper = paper * (1 - extra) + colour * extra
        alpha = core if rng.random() < 0.8 else core * rng.uniform(0.6, 1)
        picture = paper * (1 - alpha) + colour * alpha
        if rng.random() < 0.10:  # a rule, a pole, a frame of the sign
            degrade.rule(picture, rng, float(rng.random()))
        return degrade.photograph(picture, rng, self.np_rng)

    # -- print ----------------------------------------------------------------------------------------------------------

    def _print(self, text: str, face: Face) -> np.ndarray | None:
        """Return a line of a document: book, receipt, form, screen; mostly dark on light, little warped."""
        rng = self.rng
        spacing = rng.uniform(-0.02, 0.12) if rng.random() < 0.15 else 0.0
        if len(text) < 20 and rng.random() < 0.04:  # a heading drawn apart
            spacing = rng.uniform(0.2, 0.6)
        gap = rng.uniform(0.55, 1.0) if rng.random() < 0.2 else rng.uniform(1.0, 2.0) if rng.random() < 0.1 else 1.0
        mask = ink(text, face, rng, spacing, gap=gap)
        if mask.size == 0 or mask.shape[0] < 6:
            return None
        if rng.random() < 0.2:
            mask = degrade.weight(mask, rng)
        if rng.random() < 0.10:
            mask = degrade.underline(mask, rng)
        mask = cv2.copyMakeBorder(mask, 10, 10, 14, 14, cv2.BORDER_CONSTANT, value=0)
        if rng.random() < 0.3:  # the lines above and below reach into the crop
            other = ink(rng.choice(self.corpus.text)[:60], face, rng)
            if other.size:
                other, reach = other[:, : mask.shape[1]], rng.randint(3, 8)
                reach = min(reach, other.shape[0])
                if rng.random() < 0.5:
                    np.maximum(mask[:reach, : other.shape[1]], other[-reach:], out=mask[:reach, : other.shape[1]])
                else:
                    np.maximum(mask[-reach:, : other.shape[1]], other[:reach], out=mask[-reach:, : other.shape[1]])
        if rng.random() < 0.08:
            mask = cv2.remap(mask, *degrade.bend_map(mask.shape, rng, 0.25), cv2.INTER_LINEAR)
        # Half of what is sent was scanned at 100 to 150 dots an inch, or is a page made small: 12 to 22 rows a line.
        high = int(rng.triangular(11, 23, 17) if rng.random() < 0.5 else rng.triangular(14, 48, 30))
        matrix, size = degrade.camera(mask, high, rng, gentle=True)
        if size[0] < 6 or size[0] > 1400:
            return None
        core = cv2.warpPerspective(mask, matrix, size, flags=cv2.INTER_AREA).astype(np.float32) / 255
        if rng.random() < 0.25:  # worn ribbon, thermal paper, ink that did not take
            core *= np.clip(self.background(*core.shape) * 1.5 + rng.uniform(0, 0.6), 0, 1)
        if rng.random() < 0.25:  # scanned to black and white, then perhaps made smaller
            return degrade.bilevel(core, rng, self.np_rng)
        light, dark = rng.uniform(0.6, 1.0), rng.uniform(0.0, 0.45)
        if rng.random() < 0.12:  # till rolls that have faded
            light, dark = rng.uniform(0.85, 1.0), rng.uniform(0.5, 0.78)
        if rng.random() < 0.10:
            light, dark = dark, light
        clean = rng.random() < 0.4
        paper = light + (self.background(*core.shape) - 0.5) * (0.0 if clean else rng.uniform(0, 0.25))
        picture = paper * (1 - core) + dark * core
        if rng.random() < 0.12:
            degrade.rule(picture, rng, dark)
        return degrade.photograph(picture, rng, self.np_rng, gentle=True)
