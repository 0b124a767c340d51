"""Bytes to pages: every kind of file that people send, and every way that a file can be bad."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pytest
from PIL import Image
from tests.documents import raw_png

from ocrfarm_shared.errors import EmptyFile, Encrypted, NoSuchPage, TooManyPages, TooManyPixels, Unreadable
from ocrfarm_worker.load import Limits, choose_pages, load_page, plan
from ocrfarm_worker.pictures import _flatten

LIMITS = Limits(max_pages=20, max_pixels=4_000_000)
WIDTH, HEIGHT = 61, 37


def picture() -> Image.Image:
    """Red in the top left corner, a grey ramp elsewhere: its turns and its channel order can be told."""
    ramp = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    image = np.stack([ramp, ramp, ramp], axis=-1)
    image[:10, :10] = (255, 0, 0)
    return Image.fromarray(image, "RGB")


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def load(data: bytes, number: int = 1, limits: Limits = LIMITS) -> np.ndarray:
    return load_page(data, None, number, 100, limits).image


def bgr(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))[:, :, ::-1]


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "GIF"])
def test_lossless_files_come_as_bgr(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    page = load(encoded(picture(), form, **options))
    assert page.dtype == np.uint8
    assert page.shape == (HEIGHT, WIDTH, 3)
    expected = bgr(picture())
    slack = 12 if form == "GIF" else 0  # a palette of 256 colours
    assert np.abs(page.astype(int) - expected).max() <= slack


def test_jpeg_is_decoded_as_pillow_decodes_it() -> None:
    data = encoded(picture(), "JPEG", quality=90)
    assert np.array_equal(load(data), bgr(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LAB"])
def test_other_colour_models(mode: str) -> None:
    image = picture().convert("L") if mode == "1" else picture()
    image = image.point(lambda v: 255 if v > 127 else 0).convert("1") if mode == "1" else image.convert(mode)
    form = {"CMYK": "JPEG", "YCbCr": "JPEG", "LAB": "TIFF"}.get(mode, "PNG")
    data = encoded(image, form)
    page = load(data)
    assert page.shape == (HEIGHT, WIDTH, 3)
    assert page[20, 1].mean() < 40
    assert page[20, -2].mean() > 215


def test_sixteen_bits_are_scaled_to_eight() -> None:
    deep = np.tile(np.linspace(0, 65535, WIDTH).astype(np.uint16), (HEIGHT, 1))
    for form in ("PNG", "TIFF"):
        page = load(encoded(Image.fromarray(deep), form))
        assert page[0, 0, 0] == 0
        assert page[0, -1, 0] == 255
        assert abs(int(page[0, WIDTH // 2, 0]) - 127) <= 1


def test_twelve_bits_in_sixteen_are_not_black() -> None:
    deep = np.tile(np.linspace(0, 4095, WIDTH).astype(np.uint16), (HEIGHT, 1))
    assert load(encoded(Image.fromarray(deep), "TIFF"))[0, -1, 0] == 255


def test_floating_point_tiff_is_stretched_over_what_it_uses() -> None:
    values = np.tile(np.linspace(-1.5, 2.5, WIDTH).astype(np.float32), (HEIGHT, 1))
    page = load(encoded(Image.fromarray(values), "TIFF"))
    assert page[0, 0, 0] == 0
    assert page[0, -1, 0] >= 254


def test_see_through_pixels_lie_on_white() -> None:
    image = picture().convert("RGBA")
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, :20] = 0
    alpha[:, 20:30] = 128
    image.putalpha(Image.fromarray(alpha))
    page = load(encoded(image, "PNG"))
    assert (page[:, :20] == 255).all()
    ramp = bgr(picture())[20, 25].astype(int)
    assert np.abs(page[20, 25] - (ramp * 128 + 255 * 127) / 255).max() <= 1
    assert np.array_equal(page[:, 30:], bgr(picture())[:, 30:])


def test_light_letters_on_nothing_stay_legible() -> None:
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    rgba[10:20, 10:40] = (250, 250, 250, 255)
    page = load(encoded(Image.fromarray(rgba, "RGBA"), "PNG"))
    assert int(page[15, 20, 0]) - int(page[0, 0, 0]) > 200


def test_a_see_through_page_is_flattened_in_strips_without_a_seam() -> None:
    rng = np.random.default_rng(3)
    rgba = rng.integers(0, 256, (1500, 1000, 4), dtype=np.uint8)
    weight = rgba[:, :, 3:].astype(np.float64) / 255
    wanted = rgba[:, :, 2::-1] * weight + 255 * (1 - weight)
    got = load(encoded(Image.fromarray(rgba), "PNG")).astype(np.float64)
    assert float(np.abs(got - wanted).max()) <= 0.51


def test_a_large_see_through_page_takes_little_beside_its_pixels() -> None:
    page = np.full((4000, 4000, 4), 128, np.uint8)
    tracemalloc.start()
    try:
        _flatten(page, np.empty((4000, 4000, 3), np.uint8))
        assert tracemalloc.get_traced_memory()[1] < 6 * 4000 * 4000  # 48 MB are the answer; float copies took 450
    finally:
        tracemalloc.stop()


def test_see_through_palette() -> None:
    image = picture().convert("P")
    image.info["transparency"] = image.getpixel((1, 1))
    page = load(encoded(image, "PNG", transparency=image.getpixel((1, 1))))
    assert (page[2, 2] == 255).all()


@pytest.mark.parametrize(("tag", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0)), (2, (0, -1))])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_exif_rotation(form: str, tag: int, corner: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    options = {"quality": 95, "subsampling": 0} if form == "JPEG" else {}
    page = load(encoded(picture(), form, exif=exif, **options))
    assert page.shape[:2] == ((WIDTH, HEIGHT) if tag in (6, 8) else (HEIGHT, WIDTH))
    blue, green, red = (int(v) for v in page[corner])
    assert red > 200
    assert blue < 60
    assert green < 60


def test_damaged_exif_does_not_refuse_the_picture() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert load(data).shape == (HEIGHT, WIDTH, 3)


def textured(mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(1)
    return Image.fromarray(random.integers(0, 256, (200, 300, 3), np.uint8), "RGB").convert(mode)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9])
def test_a_file_cut_short_is_an_error(form: str, share: float) -> None:
    whole = encoded(textured(), form)
    load(whole)  # a good one first: its pixels must not come back
    with pytest.raises(Unreadable):
        load(whole[: max(int(len(whole) * share), 10)])


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "group4", "jpeg", "packbits"])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_compressed_tiff_cut_short_is_an_error(compression: str, share: float) -> None:
    whole = encoded(textured("1" if compression == "group4" else "RGB"), "TIFF", compression=compression)
    load(whole)
    with pytest.raises(Unreadable):
        load(whole[: int(len(whole) * share)])


def test_empty_and_foreign_files() -> None:
    with pytest.raises(EmptyFile):
        load(b"")
    for data in (
        b"hello, this is not a picture at all",
        b"\x89PNG\r\n\x1a\n",
        b"%PDF-1.7 and nothing more",
        b"\0" * 5000,
    ):
        with pytest.raises(Unreadable):
            load(data)


def test_formats_off_the_list_are_refused() -> None:
    with pytest.raises(Unreadable):
        load(encoded(picture(), "TGA"))
    with pytest.raises(Unreadable):
        load(encoded(picture(), "ICO"))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few KB that decodes to width x height pixels."""
    return raw_png(width, height, [b"\0" * (width // 8 + 2)] * 64, depth=1)


@pytest.mark.parametrize("size", [(20_000, 20_000), (2_001, 2_000), (200_000, 30)])
def test_too_many_pixels_is_known_before_decoding(size: tuple[int, int]) -> None:
    with pytest.raises(TooManyPixels):
        load(bomb(*size))


def test_a_document_leaves_no_limit_behind() -> None:
    """Pillow's is the process's: whoever opens the next picture has his own."""
    before = Image.MAX_IMAGE_PIXELS
    assert before != LIMITS.max_pixels
    load(encoded(Image.new("1", (100, 100)), "PNG"))
    with pytest.raises(TooManyPixels):
        load(bomb(20_000, 20_000))
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_page_of_a_tiff_has_the_limit_too() -> None:
    small, large = Image.new("1", (100, 100)), Image.new("1", (3000, 3000))
    data = encoded(small, "TIFF", save_all=True, append_images=[large], compression="group4")
    assert plan(data, None, LIMITS).page_count == 2
    assert load(data, 1).shape == (100, 100, 3)
    with pytest.raises(TooManyPixels, match="scale it down"):
        load(data, 2)


def test_pages_of_a_tiff() -> None:
    shades = [Image.new("L", (40 + n, 30), 40 * n) for n in range(5)]
    data = encoded(shades[0], "TIFF", save_all=True, append_images=shades[1:])
    found = plan(data, "image/tiff", LIMITS)
    assert (found.kind, found.page_count, found.numbers) == ("tiff", 5, (1, 2, 3, 4, 5))
    for n in (5, 1, 3):  # any order
        page = load(data, n)
        assert page.shape == (30, 39 + n, 3)
        assert (page == 40 * (n - 1)).all()
    for n in (0, 6):
        with pytest.raises(NoSuchPage):
            load(data, n)


def test_an_animation_is_one_page() -> None:
    frames = [Image.new("P", (20, 20), n) for n in range(3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert plan(data, None, LIMITS).page_count == 1
    with pytest.raises(NoSuchPage):
        load(data, 2)


def test_an_image_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"  # names mean nothing
    path.write_bytes(encoded(picture(), "PNG"))
    assert plan(path, None, LIMITS).kind == "image"
    assert np.array_equal(load_page(path, "image/png", 1, 100, LIMITS).image, bgr(picture()))
    with pytest.raises(FileNotFoundError):
        plan(tmp_path / "none.png", "image/png", LIMITS)


@pytest.mark.parametrize(
    ("wanted", "count", "chosen"),
    [
        (None, 3, (1, 2, 3)),
        ("2", 3, (2,)),
        ("2-", 4, (2, 3, 4)),
        ("3,1-2,2", 9, (1, 2, 3)),
        ("2-99", 3, (2, 3)),
        ("7,1", 3, (1,)),
        ("0-1", 3, (1,)),
    ],
)
def test_choosing_pages(wanted: str | None, count: int, chosen: tuple[int, ...]) -> None:
    assert choose_pages(wanted, count) == chosen


@pytest.mark.parametrize("wanted", ["4", "9-", "3-2", "0"])
def test_choosing_no_page_is_an_error(wanted: str) -> None:
    with pytest.raises(NoSuchPage, match="3 pages"):
        choose_pages(wanted, 3)


# ---------------------------------------------------------------------------------------------------- PDF


def pdf(pages: int = 1, width: float = 200, height: float = 100) -> bytes:
    document = pdfium.PdfDocument.new()
    for _ in range(pages):
        document.new_page(width, height).close()
    out = io.BytesIO()
    document.save(out)
    document.close()
    return out.getvalue()


def image_pdf(image: Image.Image) -> bytes:
    return encoded(image, "PDF", resolution=72)


def test_pdf_pages_are_rendered_at_dpi() -> None:
    data = pdf(3)
    found = plan(data, "application/pdf", LIMITS)
    assert (found.kind, found.page_count) == ("pdf", 3)
    page = load_page(data, "application/pdf", 2, 144, LIMITS)
    assert (page.width, page.height, page.dpi) == (400, 200, 144)
    assert (page.image == 255).all()


def test_pdf_colours_are_bgr() -> None:
    page = load_page(image_pdf(picture()), None, 1, 72, LIMITS).image
    blue, green, red = (int(v) for v in page[3, 3])
    assert red > 200
    assert max(blue, green) < 60


def test_pdf_pixels_live_longer_than_the_document() -> None:
    page = load_page(image_pdf(picture()), None, 1, 72, LIMITS).image
    before = page.copy()
    for _ in range(20):
        load_page(pdf(), None, 1, 200, LIMITS)
    assert np.array_equal(page, before)
    assert page.flags.owndata


def test_pdf_size_is_known_before_rendering() -> None:
    with pytest.raises(TooManyPixels, match="dpi"):
        load_page(pdf(1, 14_400, 14_400), None, 1, 200, LIMITS)


def test_pdf_page_numbers() -> None:
    for number in (0, 4):
        with pytest.raises(NoSuchPage):
            load_page(pdf(3), None, number, 72, LIMITS)


def test_too_many_pages_can_be_chosen_from() -> None:
    data = pdf(25)
    with pytest.raises(TooManyPages, match="pages"):
        plan(data, None, LIMITS)
    assert plan(data, None, LIMITS, "24-").numbers == (24, 25)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_a_pdf_cut_short_is_an_error(share: float) -> None:
    data = image_pdf(textured())
    with pytest.raises(Unreadable):
        load_page(data[: int(len(data) * share)], None, 1, 72, LIMITS)


# An empty page under the standard security handler, 40-bit RC4, with a user password (ISO 32000-1, 7.6.3); the keys are of no
# matter, for no password is offered.
ENCRYPTED = b"""%%PDF-1.4
1 0 obj
<< /Type /Catalog /Pages 2 0 R >>
endobj
2 0 obj
<< /Type /Pages /Count 1 /Kids [3 0 R] >>
endobj
3 0 obj
<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>
endobj
4 0 obj
<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>
endobj
trailer
<< /Size 5 /Root 1 0 R /Encrypt 4 0 R /ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>] >>
%%%%EOF
""" % (b"5a" * 32, b"a5" * 32)


def test_a_pdf_with_a_password() -> None:
    for call in (lambda: plan(ENCRYPTED, None, LIMITS), lambda: load_page(ENCRYPTED, None, 1, 72, LIMITS)):
        with pytest.raises(Encrypted, match="password"):
            call()
