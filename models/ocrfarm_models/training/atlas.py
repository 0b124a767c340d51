"""Glyph atlases: each character of the alphabet drawn once a face, so that lines are put together from ready pieces.

    python -m ocrfarm_models.training.atlas --assets runs/assets --into runs/atlas

One `.npz` a face, uncompressed: `pixels` (uint8, the glyphs one after the other, row by row), and by class number `start`, `width`,
`height`, `left`, `top` (pixels from the pen to the glyph's box, y downwards from the baseline) and `advance` (pixels; 0 where the
face lacks the character). Everything is drawn at `EM` pixels an em. Of the Chinese faces those are kept that lack at most 40 of
the 3,755 characters of GB 2312's level 1.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTCollection, TTFont
from PIL import ImageFont

from ocrfarm_models.training.alphabet import CHINESE, LEVEL_1, Alphabet
from ocrfarm_models.training.faces import catalog

log = logging.getLogger(__name__)

EM = 40
MISSING_ALLOWED = 40
LATIN_FACES = 60
_CHINESE_FILE = re.compile(r"chinese-simplified-(300|400|500|700|900)-normal\.woff2$|\.tt[cf]$|\.otf$")
# Of a collection that holds one face a country, the face for the mainland; and no faces of Japan, Korea, Taiwan alone.
_MAINLAND = re.compile(r"\bSC\b|\bCN\b|WenQuanYi|GB\b|LXGW|Uming|Ukai|Droid|BabelStone", re.I)


@dataclass(frozen=True)
class Atlas:
    """One face's glyphs; the arrays are indexed by class number of `CHINESE`."""

    name: str
    chinese: bool
    pixels: np.ndarray
    start: np.ndarray
    width: np.ndarray
    height: np.ndarray
    left: np.ndarray
    top: np.ndarray
    advance: np.ndarray

    def has(self, number: int) -> bool:
        """Say whether the face draws this class."""
        return bool(self.advance[number])

    def glyph(self, number: int) -> np.ndarray:
        """Return the glyph as uint8 height x width."""
        start, high, wide = int(self.start[number]), int(self.height[number]), int(self.width[number])
        return self.pixels[start : start + high * wide].reshape(high, wide)


def draw(path: Path, index: int, name: str) -> Atlas:
    """Draw all characters that the face maps."""
    alphabet = Alphabet(CHINESE)
    font = ImageFont.truetype(str(path), EM, index=index, layout_engine=ImageFont.Layout.BASIC)
    cmap = TTFont(path, fontNumber=index, lazy=True).getBestCmap() or {}
    table = np.zeros((6, len(alphabet)), np.float32)
    pieces: list[np.ndarray] = []
    filled = 0
    for char, number in alphabet.number.items():
        if ord(char) not in cmap:
            continue
        mask, (left, top) = font.getmask2(char, mode="L", anchor="ls")
        wide, high = mask.size
        if not font.getlength(char) or (char != " " and (not wide or not high or wide > 3 * EM or high > 3 * EM)):
            continue
        pixels = np.array(mask, np.uint8) if wide and high else np.zeros(0, np.uint8)
        table[:, number] = (
            filled,
            wide if pixels.size else 0,
            high if pixels.size else 0,
            left,
            top,
            font.getlength(char),
        )
        pieces.append(pixels)
        filled += pixels.size
    chinese = sum(table[5, alphabet.number[c]] == 0 for c in LEVEL_1) <= MISSING_ALLOWED
    whole = [row.astype(np.int32) for row in table[:5]]
    sizes = np.array([p.size for p in pieces])
    drawn = np.flatnonzero(table[5])
    whole[0][drawn] = np.concatenate([[0], np.cumsum(sizes)[:-1]])  # exact: float32 counts to 16 million only
    return Atlas(name, bool(chinese), np.concatenate(pieces), *whole, table[5])


def faces(path: Path) -> list[tuple[int, str]]:
    """List the faces of a file that are drawn for the mainland: (index, name)."""
    if path.suffix != ".ttc":
        return [(0, path.stem)]
    names = [str(font["name"].getDebugName(4)) for font in TTCollection(path, lazy=True).fonts]
    wanted = [(i, n) for i, n in enumerate(names) if _MAINLAND.search(n) and "Mono" not in n and "MBE" not in n]
    return [(i, f"{path.stem}-{i}") for i, _ in wanted[:1]]


def save(atlas: Atlas, into: Path) -> None:
    """Write one atlas under a temporary name and rename it."""
    scratch = into / f"{atlas.name}.tmp.npz"
    np.savez(scratch, **{k: v for k, v in vars(atlas).items() if isinstance(v, np.ndarray)}, chinese=atlas.chinese)
    scratch.rename(into / f"{atlas.name}.npz")


def load(folder: Path) -> list[Atlas]:
    """Return all atlases of a folder; an empty one is a FileNotFoundError that says what to run."""
    out = []
    for path in sorted(p for p in folder.glob("*.npz") if ".tmp" not in p.name):
        with np.load(path) as file:
            arrays = {k: file[k] for k in file.files if k != "chinese"}
            out.append(Atlas(path.stem, bool(file["chinese"]), **arrays))
    if not any(a.chinese for a in out) or all(a.chinese for a in out):
        raise FileNotFoundError(f"no Chinese and Latin atlases in {folder}: run ocrfarm_models.training.atlas first")
    return out


def candidates(assets: Path) -> list[Path]:
    """List font files that may hold Chinese."""
    known = re.compile(r"noto.*cjk|wqy|arphic|droid|lxgw|babelstone|node_modules")
    return [p for p in sorted(assets.rglob("*")) if _CHINESE_FILE.search(p.name) and not p.is_symlink()
            and known.search(str(p)) and (p.suffix != ".woff2" or "chinese" in p.name) and "Mono" not in p.name]  # fmt: skip


def main() -> None:
    """Draw the Chinese faces, and some Latin ones that stand beside Chinese: print, most of them plain."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--assets", type=Path, default=Path("runs/assets"))
    ap.add_argument("--into", type=Path, default=Path("runs/atlas"))
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.into.mkdir(parents=True, exist_ok=True)
    for path in candidates(args.assets):
        for index, name in faces(path):
            atlas = draw(path, index, name)
            if atlas.chinese:
                save(atlas, args.into)
            log.info("%s: %d characters, %.1f MB%s", name, int((atlas.advance > 0).sum()), atlas.pixels.size / 1e6,
                     "" if atlas.chinese else ", left out")  # fmt: skip
    print_faces = [f for f in catalog(args.assets) if f.package.startswith("fonts-") and not f.unicase]
    by_package = {f.package: f for f in reversed(print_faces)}
    chosen = random.Random(1).sample(sorted(by_package), min(LATIN_FACES, len(by_package)))  # noqa: S311 - nothing secret is drawn
    for package in chosen:
        face = by_package[package]
        save(draw(Path(face.path), 0, f"latin-{Path(face.path).stem}"), args.into)
    log.info("%d Latin faces", len(chosen))


if __name__ == "__main__":
    main()
