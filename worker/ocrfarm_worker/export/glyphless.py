"""A font without a drawing, for text that is there to be found and not to be seen.

Every code of the font stands for one character of the document, in the order in which they come, and its ToUnicode map says which: so every
script works, with no font of megabytes inside, and characters beyond the basic plane too. The idea is Tesseract's (`pdf.ttf`) and
OCRmyPDF's. The file is 684 bytes, made by the recipe in tests/unit/worker/test_glyphless.py: a narrow and a wide sign
from the baseline (0) up to 1,000 units of an em, so that a font size is the height of a word's box. They are lines without area: readers
that measure signs to mark or to extract text find a box, and there is nothing that anybody could paint.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from importlib import resources

import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf, Stream

WIDE, NARROW = 1000, 500  # a thousandth of the font's size: Chinese signs, and all others
_MOST = 65_535
_NARROW_WIDE = (b"\x00\x01", b"\x00\x02")  # numbers of the file's two signs
_TTF = (resources.files("ocrfarm_worker.export") / "glyphless.ttf").read_bytes()

_CMAP_HEAD = b"""/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
"""
_CMAP_TAIL = b"""endcmap
CMapName currentdict /CMap defineresource pop
end
end
"""


class Glyphless:
    """The characters of one document. `codes` as they are written; `add_to` once all of them are known."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def codes(self, text: str) -> str:
        """The text as a hexadecimal string of PDF, without its brackets: four digits a character."""
        return "".join(f"{self._code(character):04X}" for character in text)

    def _code(self, character: str) -> int:
        if unicodedata.category(character) in ("Cc", "Cs", "Cn") or len(self._codes) >= _MOST - 1:
            character = "\N{REPLACEMENT CHARACTER}"
        return self._codes.setdefault(character, len(self._codes) + 1)

    @staticmethod
    def width(text: str) -> int:
        """Thousandths of the font's size."""
        return sum(WIDE if unicodedata.east_asian_width(c) in ("W", "F") else NARROW for c in text)

    def add_to(self, pdf: Pdf) -> pikepdf.Object:
        """The font, as an object of that document (ISO 32000-1, 9.7)."""
        descriptor = Dictionary(
            Type=Name.FontDescriptor,
            FontName=Name("/GlyphLessFont"),
            Flags=5,  # all glyphs of one width as far as the file knows; symbolic
            FontBBox=Array([0, 0, WIDE, 1000]),
            ItalicAngle=0,
            Ascent=1000,
            Descent=0,
            CapHeight=1000,
            StemV=80,
            FontFile2=pdf.make_stream(_TTF, Length1=len(_TTF)),
        )
        drawn = Dictionary(
            Type=Name.Font,
            Subtype=Name.CIDFontType2,
            BaseFont=Name("/GlyphLessFont"),
            CIDSystemInfo=Dictionary(Registry=b"Adobe", Ordering=b"Identity", Supplement=0),
            FontDescriptor=pdf.make_indirect(descriptor),
            DW=NARROW,
            W=Array(list(self._wide())),
            CIDToGIDMap=pdf.make_stream(b"".join(_NARROW_WIDE[self.width(c) == WIDE] for c in ["", *self._codes])),
        )
        return pdf.make_indirect(
            Dictionary(
                Type=Name.Font,
                Subtype=Name.Type0,
                BaseFont=Name("/GlyphLessFont"),
                Encoding=Name("/Identity-H"),
                DescendantFonts=Array([pdf.make_indirect(drawn)]),
                ToUnicode=Stream(pdf, self._to_unicode()),
            )
        )

    def _wide(self) -> Iterator[int]:
        for character, code in self._codes.items():
            if self.width(character) == WIDE:
                yield from (code, code, WIDE)

    def _to_unicode(self) -> bytes:
        rows = [f"<{code:04X}> <{c.encode('utf-16-be').hex().upper()}>\n".encode() for c, code in self._codes.items()]
        blocks = [rows[i : i + 100] for i in range(0, len(rows), 100)]
        return (
            _CMAP_HEAD + b"".join(b"%d beginbfchar\n%bendbfchar\n" % (len(b), b"".join(b)) for b in blocks) + _CMAP_TAIL
        )
