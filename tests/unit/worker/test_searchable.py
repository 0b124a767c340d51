"""The searchable PDF, opened again by an extractor of text: every word is found, over its own box, and the page looks as before.

All of it through the locked-in process that makes it in a farm.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from math import cos, radians, sin
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pypdfium2 as pdfium
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrfarm_shared.contracts import Failure, Line, Page, Polygon, Word
from ocrfarm_shared.errors import DocumentError, Encrypted, Unreadable
from ocrfarm_worker.decoding.process import Caps
from ocrfarm_worker.document import Limits
from ocrfarm_worker.export.bound import bound

DPI = 150
PX = 5  # a word may be so many pixels beside its box


def box(x: float, y: float, width: float, height: float, degrees: float = 0) -> Polygon:
    """A rectangle whose top left corner is there, turned by that much clockwise around it."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return [(x + c * u - s * v, y + s * u + c * v) for u, v in ((0, 0), (width, 0), (width, height), (0, height))]


def a_line(texts: list[str], x: float, y: float, degrees: float = 0, height: float = 24) -> Line:
    """Words beside each other, 14 pixels a letter, 20 between them."""
    words, at = [], 0.0
    c, s = cos(radians(degrees)), sin(radians(degrees))
    for text in texts:
        width = 14.0 * len(text)
        words.append(Word(text=text, confidence=1, polygon=box(x + c * at, y + s * at, width, height, degrees)))
        at += width + 20
    whole = box(x, y, at - 20, height, degrees)
    return Line(text=" ".join(texts), confidence=1, polygon=whole, words=words, model="m")


LINES = [
    a_line(["The", "invoice", "of", "November"], 60, 50),
    a_line(["leans", "quite", "much"], 80, 160, degrees=7),
    a_line(["发票号码", "合计：壹佰元整"], 60, 300),
    a_line(["up", "the", "side"], 40, 700, degrees=-90),
    a_line(["overhead"], 500, 420, degrees=180),
    a_line(["𠮷野家", "naïve", "€5", "😀"], 60, 480),
]


def a_page(width: int, height: int, lines: list[Line] = LINES, **more: Any) -> Page:
    return Page(number=more.pop("number", 1), width=width, height=height, lines=lines, models=["m"], **more)


def made(data: bytes, kind: str, *pages: Page, dpi: int = DPI) -> bytes:
    return bytes(bound(data, kind, pages, dpi, Limits(), Caps(cpu_s=60)))


@contextmanager
def opened(data: bytes) -> Iterator[pdfium.PdfDocument]:
    document = pdfium.PdfDocument(data)
    try:
        yield document
    finally:
        document.close()


def found(page: pdfium.PdfPage, text: str) -> list[tuple[float, float, float, float]]:
    """Boxes (left, top, right, bottom) of that text on the page as it is shown, in shares of its width and height."""
    layer = page.get_textpage()
    match = layer.search(text, match_case=True).get_next()
    assert match is not None, f"{text!r} is not found in {layer.get_text_bounded()!r}"
    left, bottom, right, top = page.get_bbox()
    boxes = [layer.get_charbox(match[0] + n, loose=False) for n in range(match[1])]
    x0, y0 = min(b[0] for b in boxes), min(b[1] for b in boxes)
    x1, y1 = max(b[2] for b in boxes), max(b[3] for b in boxes)
    u0, v0, u1, v1 = (
        (x0 - left) / (right - left),
        (y0 - bottom) / (top - bottom),
        (x1 - left) / (right - left),
        (y1 - bottom) / (top - bottom),
    )
    # What is turned clockwise to be shown: the user space's corners as they are seen.
    by_rotation = {
        0: (u0, 1 - v1, u1, 1 - v0),
        90: (v0, u0, v1, u1),
        180: (1 - u1, v0, 1 - u0, v1),
        270: (1 - v1, 1 - u1, 1 - v0, 1 - u0),
    }
    return [by_rotation[page.get_rotation()]]


def check_words(page: pdfium.PdfPage, read: Page) -> None:
    for line in read.lines:
        for word in line.words:
            if max(word.text) > "\uffff":  # extracted, and what PDFium's search does not find
                assert word.text in page.get_textpage().get_text_bounded()
                continue
            (got,) = found(page, word.text)
            xs, ys = [x for x, _ in word.polygon], [y for _, y in word.polygon]
            wanted = (min(xs), min(ys), max(xs), max(ys))
            shown = (got[0] * read.width, got[1] * read.height, got[2] * read.width, got[3] * read.height)
            assert max(abs(a - b) for a, b in zip(shown, wanted, strict=True)) <= PX, (word.text, shown, wanted)


def picture(width: int = 800, height: int = 1000, mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 120, 60), fill=0 if mode in ("L", "1") else "red")
    draw.text((60, 200), "Drawn", font=ImageFont.load_default(40), fill=0 if mode in ("L", "1") else "blue")
    return image


def encoded(image: Image.Image, kind: str, **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def shown(page: pdfium.PdfPage, width: int) -> np.ndarray:
    image = page.render(scale=width / page.get_width()).to_pil().convert("RGB")
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_words_are_found_over_their_boxes_and_nothing_is_drawn_over_the_picture(kind: str) -> None:
    image = picture()
    data = encoded(image, kind, **({"quality": 90} if kind in ("JPEG", "WEBP") else {}))
    with opened(made(data, f"image/{kind.lower()}", a_page(800, 1000))) as document:
        assert len(document) == 1
        assert document[0].get_size() == pytest.approx((800 * 72 / DPI, 1000 * 72 / DPI), abs=0.01)
        check_words(document[0], a_page(800, 1000))
        assert document[0].get_textpage().get_text_bounded().splitlines()[0] == "The invoice of November"
        difference = np.abs(shown(document[0], 800)[:1000] - np.asarray(image).astype(int))
    assert difference.mean() < 2, "the picture looks otherwise"


def images(pdf: pikepdf.Pdf, number: int = 0) -> list[pikepdf.Object]:
    return list(pdf.pages[number].obj.Resources.XObject.values())


def test_a_jpeg_goes_in_as_the_jpeg_it_is() -> None:
    data = encoded(picture(), "JPEG", quality=80)
    with pikepdf.open(io.BytesIO(made(data, "image/jpeg", a_page(800, 1000)))) as pdf:
        (only,) = images(pdf)
        assert only.read_raw_bytes() == data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_on_its_side_stands_upright(orientation: int, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(400, 600).convert(mode), "JPEG", quality=95, exif=exif)
    size = (400, 600) if orientation < 5 else (600, 400)
    from PIL import ImageOps

    with Image.open(io.BytesIO(data)) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)
    read = a_page(*size, lines=[a_line(["here"], 30, 40)])
    body = made(data, "image/jpeg", read)
    with opened(body) as document:
        check_words(document[0], read)
        assert np.abs(shown(document[0], size[0])[: size[1]] - upright).mean() < 8
    with pikepdf.open(io.BytesIO(body)) as pdf:
        assert images(pdf)[0].read_raw_bytes() == data


def test_bilevel_and_grey_stay_small_and_without_loss() -> None:
    for mode, bits in (("1", 1), ("L", 8)):
        image = picture(mode=mode)
        if mode == "L":
            image.paste(Image.linear_gradient("L"), (300, 300))
        with pikepdf.open(io.BytesIO(made(encoded(image, "PNG"), "image/png", a_page(800, 1000)))) as pdf:
            (only,) = images(pdf)
            assert (only.BitsPerComponent, only.ColorSpace) == (bits, "/DeviceGray")
            assert np.array_equal(
                np.asarray(pikepdf.PdfImage(only).as_pil_image().convert("L")), np.asarray(image.convert("L"))
            )


def test_a_photograph_that_came_with_loss_is_not_blown_up() -> None:
    noise = np.random.default_rng(1).normal(128, 20, (1000, 800, 3)).clip(0, 255).astype(np.uint8)
    data = encoded(Image.fromarray(noise), "WEBP", quality=30)
    body = made(data, "image/webp", a_page(800, 1000))
    with pikepdf.open(io.BytesIO(body)) as pdf:
        assert images(pdf)[0].Filter == "/DCTDecode"


def test_every_page_of_a_tiff_and_the_resolution_it_says() -> None:
    pages = [picture(), picture(600, 300)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:], dpi=(300, 300))
    second = a_page(600, 300, [a_line(["second"], 30, 40)], number=2)
    failed = Page(number=1, width=0, height=0, error=Failure(code="x", message="y"))
    with opened(made(data, "image/tiff", failed, second)) as document:
        assert [p.get_size() for p in document] == [pytest.approx((192, 240)), pytest.approx((144, 72))]
        assert document[0].get_textpage().count_chars() == 0
        check_words(document[1], second)


# ---------------------------------------------------------------------------------------------------- PDF in


def scanned(rotation: int = 0, crop: tuple[float, ...] | None = None, *, inherited: bool = False) -> bytes:
    """A page of 400 by 600 points with a picture and a line drawn, no text; its content leaves the coordinates turned about."""
    pdf = pikepdf.new()
    jpeg = encoded(picture(400, 600), "JPEG")
    image = pikepdf.Stream(pdf, jpeg, Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=400, Height=600,
                           ColorSpace=pikepdf.Name.DeviceRGB, BitsPerComponent=8, Filter=pikepdf.Name.DCTDecode)  # fmt: skip
    resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary({"/Im": image}))
    page = pikepdf.Dictionary(
        Type=pikepdf.Name.Page, MediaBox=pikepdf.Array([-10, 20, 390, 620]),
        Contents=pdf.make_stream(b"q 400 0 0 600 -10 20 cm /Im Do Q 0 1 -1 0 17 4 cm q q"),
    )  # fmt: skip
    if not inherited:
        page.Resources = resources
    if rotation:
        page.Rotate = rotation
    if crop:
        page.CropBox = pikepdf.Array(list(crop))
    pdf.pages.append(pikepdf.Page(pdf.make_indirect(page)))
    if inherited:
        pdf.Root.Pages.Resources = resources
    out = io.BytesIO()
    pdf.save(out)
    return out.getvalue()


@pytest.mark.parametrize("crop", [None, (30, 60, 330, 560)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_pdf_keeps_its_pages_and_the_words_lie_right_however_it_is_turned(rotation: int, crop: Any) -> None:
    data = scanned(rotation, crop)
    with opened(data) as before:
        looks = shown(before[0], 500)
        width, height = (round(n * DPI / 72) for n in before[0].get_size())
    read = a_page(
        width, height, [a_line(["The", "Invoice"], 60, 50), a_line(["leaning"], 80, 160, 12), a_line(["中文"], 60, 300)]
    )
    body = made(data, "application/pdf", read)
    with opened(body) as document:
        check_words(document[0], read)
        assert np.array_equal(shown(document[0], 500), looks), "the page looks otherwise"
    with pikepdf.open(io.BytesIO(data)) as old, pikepdf.open(io.BytesIO(body)) as new:
        assert images(new)[0].read_raw_bytes() == images(old)[0].read_raw_bytes(), "the page was drawn anew"


def test_what_a_page_inherits_it_keeps() -> None:
    data = scanned(inherited=True)
    read = a_page(833, 1250, [a_line(["here"], 60, 50)])
    with opened(data) as before, opened(made(data, "application/pdf", read)) as document:
        check_words(document[0], read)
        assert np.array_equal(shown(document[0], 400), shown(before[0], 400))


def test_a_page_with_text_of_its_own_is_not_given_it_twice() -> None:
    read = a_page(833, 1250, [a_line(["once"], 60, 50), a_line(["alone"], 60, 400)])
    first = made(scanned(), "application/pdf", read)
    more = a_page(833, 1250, [*read.lines, a_line(["added"], 60, 700)])
    with opened(made(first, "application/pdf", more)) as document:
        text = document[0].get_textpage().get_text_bounded()
    assert sorted(text.split()) == ["added", "alone", "once"]


def test_pages_that_were_not_read_are_kept() -> None:
    with pikepdf.open(io.BytesIO(scanned())) as pdf:
        pdf.pages.append(pdf.pages[0])
        out = io.BytesIO()
        pdf.save(out)
    read = a_page(833, 1250, [a_line(["second"], 60, 50)], number=2)
    with opened(made(out.getvalue(), "application/pdf", read)) as document:
        assert len(document) == 2
        check_words(document[1], read)


@pytest.mark.parametrize("spoil", ["locked", "nonsense", "short"])
def test_what_cannot_be_opened_is_told(spoil: str) -> None:
    data = scanned()
    if spoil == "locked":
        out = io.BytesIO()
        with pikepdf.open(io.BytesIO(data)) as pdf:
            pdf.save(out, encryption=pikepdf.Encryption(owner="a", user="b"))
        data = out.getvalue()
    error: type[DocumentError] = Encrypted if spoil == "locked" else Unreadable
    data = {"locked": data, "nonsense": b"%PDF-1.7\n" + b"x" * 500, "short": data[:300]}[spoil]
    with pytest.raises(error):
        made(data, "application/pdf", a_page(833, 1250))


def test_the_samples(tmp_path: Path) -> None:
    """Each kind that is in the repository, with words all over it."""
    for name, kind in (
        ("report.pdf", "application/pdf"),
        ("photo.jpg", "image/jpeg"),
        ("notice-zh.png", "image/png"),
        ("minutes.tiff", "image/tiff"),
    ):
        data = (Path("samples") / name).read_bytes()
        with opened(made(data, kind, a_page(1000, 1400, [a_line(["qqfound"], 100, 1300)]))) as document:
            (at,) = found(document[0], "qqfound")
            assert abs(at[1] * 1400 - 1300) <= PX
