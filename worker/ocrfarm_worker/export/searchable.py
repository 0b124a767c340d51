"""The searchable PDF: the document as it came, with what was read of it as invisible text. Runs in the decoding process alone.

pikepdf (qpdf) writes it: it is the one well-kept library that changes a PDF that is there without drawing it anew (fpdf2 and reportlab
cannot), and it reads damaged files. A PDF keeps its pages, a JPEG goes in as the JPEG it is, other pictures without loss unless they
came with loss.

The text goes under the page, before its own content: there the coordinates are still the page's, whatever the content leaves behind. It
is invisible either way. A word is left out where the page has text of its own: a PDF from an office program is not given its text twice.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from typing import Any

import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf

from ocrfarm_shared.errors import Encrypted, Unreadable
from ocrfarm_worker import pdf as rendering
from ocrfarm_worker import pictures
from ocrfarm_worker.document import Limits
from ocrfarm_worker.export.embed import Embedded, embed
from ocrfarm_worker.export.glyphless import Glyphless
from ocrfarm_worker.export.text_layer import FONT, Lines, Point, text_layer

LONGEST_SIDE = 14_400  # points; what readers of PDF agree on (ISO 32000-1, annex C)
_DAMAGE = (pikepdf.PdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, OverflowError)


@dataclass(frozen=True)
class ReadPage:
    """What was read of one page: its size in pixels, and its lines of words."""

    width: int
    height: int
    lines: Lines


def searchable(
    file: BufferedReader | BytesIO, is_pdf: bool, pages: Mapping[int, ReadPage], dpi: int, producer: str, limits: Limits
) -> bytes:
    """The whole document as a PDF; `pages` by number, from 1. `dpi`: of pictures that do not say theirs.

    Raises Unreadable, Encrypted, TooManyPixels.
    """
    try:
        pdf = _of_pdf(file, pages) if is_pdf else _of_pictures(file, pages, dpi, limits)
        with pdf:
            pdf.docinfo[Name.Producer] = producer
            out = io.BytesIO()
            # By its content and not by chance: what is random is read from a file, and this process may open none.
            pdf.save(out, deterministic_id=True, linearize=False)
    except pikepdf.PasswordError as err:
        raise Encrypted from err
    except _DAMAGE as err:
        raise Unreadable(
            "The document is too damaged for a searchable PDF to be made of it; export or scan it again."
        ) from err
    return out.getvalue()


# ---------------------------------------------------------------------------------------------------- a PDF keeps its pages


def _of_pdf(file: BufferedReader | BytesIO, pages: Mapping[int, ReadPage]) -> Pdf:
    file.seek(0)
    pdf = Pdf.open(io.BytesIO(file.read()))
    file.seek(0)
    font = Glyphless()
    touched = []
    with rendering.opened(file) as drawn:
        for number, read in sorted(pages.items()):
            if number > len(drawn) or number > len(pdf.pages) or not read.width or not read.height:
                continue
            shown = drawn[number - 1]
            try:
                place = placing(shown.get_bbox(), shown.get_rotation(), read.width, read.height)
                page = pdf.pages[number - 1]
                resources = _own_resources(page)
                name = next(n for n in _names() if n not in resources[Name.Font])
                layer = text_layer(read.lines, place, font, name, _says(shown))
            finally:
                shown.close()
            if layer:
                page.contents_add(layer, prepend=True)
                page.obj[Name.Resources] = resources
                touched.append((resources, name))
    made = font.add_to(pdf)
    for resources, name in touched:
        resources[Name.Font][name] = made
    return pdf


def placing(
    box: tuple[float, float, float, float], rotation: int, width: int, height: int
) -> Callable[[float, float], Point]:
    """From pixels of the page as it is shown (origin top left) to its user space.

    `box`: left, bottom, right, top of what is shown, in user space; `rotation`: degrees clockwise by which it is turned to be shown.
    """
    left, bottom, right, top = box
    across, down = (right - left, top - bottom) if rotation % 180 == 0 else (top - bottom, right - left)

    def place(x: float, y: float) -> Point:
        u, v = x * across / width, y * down / height
        return {
            0: (left + u, top - v),
            90: (left + v, bottom + u),
            180: (right - u, bottom + v),
            270: (right - v, top - u),
        }[rotation % 360]

    return place


def _says(page: Any) -> Callable[[Sequence[Point]], bool]:
    """Whether the page has text of its own in the middle of a word's box."""
    text = page.get_textpage()
    if text.count_chars() == 0:
        return lambda _: False

    def said(corners: Sequence[Point]) -> bool:
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        dx, dy = (max(xs) - min(xs)) / 5, (max(ys) - min(ys)) / 4
        found: str = text.get_text_bounded(min(xs) + dx, min(ys) + dy, max(xs) - dx, max(ys) - dy)
        return bool(found.strip())

    return said


def _names() -> Iterator[str]:
    """Names for the font: this PDF may be one that we made."""
    yield FONT
    yield from (f"{FONT}{number}" for number in itertools.count(2))


def _own_resources(page: pikepdf.Page) -> Dictionary:
    """A copy of what the page inherits or shares with others, with a dictionary of fonts of its own."""
    found = page.obj.get(Name.Resources)
    above: Any = page.obj
    for _ in range(50):  # a page tree that bites its tail ends too
        if found is not None or Name.Parent not in above:
            break
        above = above[Name.Parent]
        found = above.get(Name.Resources)
    own = Dictionary(dict(found.items())) if isinstance(found, Dictionary) else Dictionary()
    fonts = own.get(Name.Font)
    own[Name.Font] = Dictionary(dict(fonts.items())) if isinstance(fonts, Dictionary) else Dictionary()
    return own


# ---------------------------------------------------------------------------------------------------- pictures become pages


def _of_pictures(file: BufferedReader | BytesIO, pages: Mapping[int, ReadPage], dpi: int, limits: Limits) -> Pdf:
    pdf = Pdf.new()
    font = Glyphless()
    made = []
    _, count = pictures.count(file, limits)
    for number in range(1, count + 1):
        file.seek(0)
        picture = embed(pdf, file, number, count, dpi, limits)
        read = pages.get(number)
        width, height = _points(picture)
        layer = b""
        if read is not None and read.width and read.height:
            layer = text_layer(read.lines, placing((0, 0, width, height), 0, read.width, read.height), font)
        a, b, c, d, e, f = picture.matrix
        drawn = f"q\n{a * width:.4f} {b * height:.4f} {c * width:.4f} {d * height:.4f} {e * width:.4f} {f * height:.4f} cm\n/Page Do\nQ\n"
        made.append((width, height, picture, layer + drawn.encode("ascii")))
    shared = font.add_to(pdf)
    for width, height, picture, content in made:
        page = Dictionary(
            Type=Name.Page,
            MediaBox=Array([0, 0, round(width, 3), round(height, 3)]),
            Resources=Dictionary(XObject=Dictionary({"/Page": picture.image}), Font=Dictionary({FONT: shared})),
            Contents=pdf.make_stream(content),
        )
        pdf.pages.append(pikepdf.Page(pdf.make_indirect(page)))
    return pdf


def _points(picture: Embedded) -> tuple[float, float]:
    width, height = picture.width * 72 / picture.dpi[0], picture.height * 72 / picture.dpi[1]
    shrink = min(1.0, LONGEST_SIDE / max(width, height))
    return width * shrink, height * shrink
