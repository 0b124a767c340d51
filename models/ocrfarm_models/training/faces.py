"""The font faces of the line generator: found by scanning a folder, checked by drawing them, kept in a small JSON index."""

from __future__ import annotations

import functools
import json
import logging
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

from ocrfarm_models.training.alphabet import LATIN

log = logging.getLogger(__name__)

SIZE = 44  # pixels an em: every face is drawn once at this size and scaled by the warp that follows
FACES_PER_PACKAGE = 5  # so that a family with 18 weights does not crowd out one with a single face
_SKIP = re.compile(
    r"symbol|dingbat|emoji|math|ornament|icons|barcode|signwriting|music|braille|cuneiform|hieroglyph", re.I
)


@dataclass(frozen=True)
class Face:
    """One face: where it is, its package (the unit of sampling), what it can draw, whether its small letters are capitals."""

    path: str
    package: str
    covers: str
    unicase: bool


@functools.lru_cache(maxsize=700)
def load(path: str) -> ImageFont.FreeTypeFont:
    """Open a face at the drawing size, basic layout: shaping is not needed for Latin print and costs half the speed."""
    return ImageFont.truetype(path, SIZE, layout_engine=ImageFont.Layout.BASIC)


def _drawn(font: ImageFont.FreeTypeFont, char: str) -> np.ndarray | None:
    """Return one glyph, cropped to its ink and scaled to 24 x 24, or None where it has no ink."""
    image = Image.new("L", (SIZE * 3, SIZE * 3))
    ImageDraw.Draw(image).text((SIZE, SIZE // 2), char, font=font, fill=255)
    box = image.getbbox()
    return None if box is None else np.asarray(image.crop(box).resize((24, 24)), np.float32) / 255


def _same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is None or b is None or float(np.abs(a - b).mean()) < 0.06


def inspect(path: Path, package: str) -> Face | None:
    """Read one file's coverage and draw a few letters; None for a face that does not draw distinct Latin letters."""
    try:
        cmap = TTFont(path, fontNumber=0, lazy=True).getBestCmap() or {}
        covers = "".join(c for c in LATIN if ord(c) in cmap)
        if not set("ABCXYZabcxyz0123456789") <= set(covers):
            return None
        font = load(str(path))
        glyphs = {c: _drawn(font, c) for c in "AaEeRrGgBHM"}
    except Exception as error:  # a font file can break in any way; one broken face must not stop the scan
        log.info("left out %s: %s", path.name, error)
        return None
    if any(g is None for g in glyphs.values()) or _same(glyphs["B"], glyphs["H"]) or _same(glyphs["M"], glyphs["E"]):
        return None
    unicase = sum(_same(glyphs[u], glyphs[u.lower()]) for u in "AERG") >= 2
    return Face(str(path), package, covers, unicase)


def _candidates(folder: Path) -> list[tuple[str, Path]]:
    """List (package, file) under the assets folder, a few faces a package, plain weights first."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.name.lower()
        if path.suffix.lower() not in {".ttf", ".otf", ".woff2"} or path.is_symlink() or _SKIP.search(name):
            continue
        if path.suffix == ".woff2":  # name-latin-400-normal.woff2
            if not re.search(r"-latin-(400|700|900|300)-(normal|italic)\.woff2$", name):
                continue
            package = path.parent.parent.name
        else:
            package = path.relative_to(folder).parts[1]
            if package.startswith("fonts-noto-core"):
                if not re.match(r"noto(sans|serif|sansdisplay|serifdisplay|sansmono)-", name):
                    continue
            elif len(path.relative_to(folder).parts) > 2 and "adf" not in package:
                package += "/" + re.split(r"[-_ ]", path.stem.lower())[0]
        found.setdefault(package, []).append(path)
    plain = ["400-normal", "-regular", "700-normal", "-bold.", "400-italic", "-italic"]

    def rank(p: Path) -> tuple[int, str]:
        return next((i for i, word in enumerate(plain) if word in p.name.lower()), 9), p.name

    return [(package, p) for package, paths in found.items() for p in sorted(paths, key=rank)[:FACES_PER_PACKAGE]]


def catalog(folder: Path) -> list[Face]:
    """Return the usable faces under `folder`; the first call inspects them and writes `faces.json` there."""
    index = folder / "faces.json"
    if not index.exists():
        faces = [f for package, path in _candidates(folder) if (f := inspect(path, package))]
        log.info("%d faces from %d packages", len(faces), len({f.package for f in faces}))
        index.write_text(json.dumps([asdict(f) for f in faces], ensure_ascii=False))
    return [Face(**row) for row in json.loads(index.read_text("utf8"))]
