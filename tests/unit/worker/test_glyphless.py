"""The font without a drawing: its file is what this recipe makes."""

from __future__ import annotations

import io
from importlib import resources

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables._g_l_y_f import Glyph


def nothing(width: int) -> Glyph:
    """A diagonal there and back: the box of a sign, and no area to be painted by anybody."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((width, 1000))
    pen.lineTo((0, 0))
    pen.closePath()
    return pen.glyph(dropImpliedOnCurves=False)


def recipe() -> bytes:
    """A narrow and a wide sign, 1,000 units to the em, the baseline at the bottom. fontTools stamps no time where it is told one."""
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder([".notdef", "narrow", "wide"])
    made.setupCharacterMap({0x20: "narrow", 0x3000: "wide"})
    made.setupGlyf({".notdef": Glyph(), "narrow": nothing(500), "wide": nothing(1000)})
    made.setupHorizontalMetrics({".notdef": (500, 0), "narrow": (500, 0), "wide": (1000, 0)})
    made.setupHorizontalHeader(ascent=1000, descent=0)
    made.setupNameTable({"familyName": "GlyphLessFont", "styleName": "Regular", "psName": "GlyphLessFont"})
    made.setupOS2(sTypoAscender=1000, sTypoDescender=0, usWinAscent=1000, usWinDescent=0)
    made.setupPost(isFixedPitch=1, keepGlyphNames=False)
    made.font["head"].created = made.font["head"].modified = 3_000_000_000
    made.font.recalcTimestamp = False
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def test_the_file_is_what_the_recipe_makes() -> None:
    assert (resources.files("ocrfarm_worker.export") / "glyphless.ttf").read_bytes() == recipe()
