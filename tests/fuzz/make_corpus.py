"""Make the corpus that the fuzzers start from: one small file of every kind that the farm opens, and of every way to write it.

    python -m tests.fuzz.make_corpus

The files are committed, so that a run can be repeated although a library writes its files differently one day.
"""

# ruff: noqa: E501  (PDF objects, a line each)
from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

FOLDER = Path(__file__).parent / "corpus"


def picture(width: int = 48, height: int = 32, seed: int = 0) -> Image.Image:
    """Some noise, a ramp and strokes: enough for every predictor and palette to have work."""
    rng = np.random.default_rng(seed)
    ramp = np.tile(np.linspace(0, 255, width), (height, 1))
    pixels = np.stack([ramp, ramp[::-1], np.full_like(ramp, 200)], -1)
    pixels[: height // 3] += rng.normal(0, 20, (height // 3, width, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")
    draw = ImageDraw.Draw(image)
    draw.line((3, 3, width - 5, height - 4), fill="black", width=2)
    return image


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def pdf(content: bytes, resources: bytes = b"", more: bytes = b"", page: bytes = b"", count: int = 1) -> bytes:
    """A PDF with a cross-reference table; `more` is the object number 10."""
    kids = b" ".join(b"%d 0 R" % (20 + n) for n in range(count))
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, count),
        4: b"<</Length %d>>\nstream\n%s\nendstream" % (len(content), content),
    }
    for n in range(count):
        objects[20 + n] = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 60 40]/Contents 4 0 R/Resources<<%s>>%s>>" % (
            resources,
            page,
        )
    out = bytearray(b"%PDF-1.7\n")
    places = {}
    for number, body in sorted(objects.items()):
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    if more:
        places[10] = len(out)
        out += more
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, place in sorted(places.items()):
        out += b"%d 1\n%010d 00000 n \n" % (number, place)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (30 + count, start)
    return bytes(out)


def stream(number: int, entries: bytes, data: bytes) -> bytes:
    return b"%d 0 obj\n<<%s/Length %d>>\nstream\n%s\nendstream\nendobj\n" % (number, entries, len(data), data)


def pdfs() -> dict[str, bytes]:
    draw = b"q 1 0 0 RG 2 w 5 5 m 50 30 l S 10 10 20 15 re f Q BT /F1 12 Tf 5 20 Td (Hello 123) Tj ET"
    font = b"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
    jpeg = encoded(picture(), "JPEG")
    image = b"/XObject<</I 10 0 R>>"
    show = b"q 60 0 0 40 0 0 cm /I Do Q"
    about = b"/Type/XObject/Subtype/Image/Width 48/Height 32/BitsPerComponent 8/ColorSpace/DeviceRGB"
    raw = picture().tobytes()
    return {
        "drawn.pdf": pdf(draw, font),
        "flate.pdf": pdf(show, image, stream(10, about + b"/Filter/FlateDecode", zlib.compress(raw))),
        "dct.pdf": pdf(show, image, stream(10, about + b"/Filter/DCTDecode", jpeg)),
        "ascii85.pdf": pdf(show, image, stream(10, about + b"/Filter/ASCIIHexDecode", raw.hex().encode() + b">")),
        "predictor.pdf": pdf(
            show, image,
            stream(10, about + b"/Filter/FlateDecode/DecodeParms<</Predictor 12/Colors 3/Columns 48>>",
                   zlib.compress(b"".join(b"\2" + raw[n : n + 144] for n in range(0, len(raw), 144)))),
        ),
        "form.pdf": pdf(b"/I Do", image, stream(10, b"/Type/XObject/Subtype/Form/BBox[0 0 60 40]", draw), b"/Rotate 90"),
        "annots.pdf": pdf(draw, font, page=b"/Annots[<</Type/Annot/Subtype/Square/Rect[5 5 30 30]/C[1 0 0]>>]"),
        "shading.pdf": pdf(
            b"/S sh", b"/Shading<</S<</ShadingType 2/ColorSpace/DeviceRGB/Coords[0 0 60 40]/Function"
            b"<</FunctionType 2/Domain[0 1]/C0[1 0 0]/C1[0 0 1]/N 1>>>>>>",
        ),
        "pages.pdf": pdf(draw, font, count=5),
        "pillow.pdf": encoded(picture(), "PDF", resolution=72),
    }  # fmt: skip


def images() -> dict[str, bytes]:
    colour, grey = picture(), picture().convert("L")
    see_through = colour.convert("RGBA")
    see_through.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    bilevel = grey.point(lambda v: 255 if v > 127 else 0).convert("1")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    floats = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)

    def more() -> list[Image.Image]:  # made anew: an image that was saved remembers how
        return [picture(40, 30, n) for n in (1, 2)]

    found = {
        "rgb.png": encoded(colour, "PNG"), "grey.png": encoded(grey, "PNG"), "bilevel.png": encoded(bilevel, "PNG"),
        "alpha.png": encoded(see_through, "PNG"), "palette.png": encoded(colour.convert("P"), "PNG", transparency=3),
        "deep.png": encoded(deep, "PNG"), "exif.png": encoded(colour, "PNG", exif=exif, dpi=(72, 72)),
        "animated.png": encoded(colour, "PNG", save_all=True, append_images=[picture(48, 32, 5)]),
        "rgb.jpg": encoded(colour, "JPEG"), "grey.jpg": encoded(grey, "JPEG"), "cmyk.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "progressive.jpg": encoded(colour, "JPEG", progressive=True), "exif.jpg": encoded(colour, "JPEG", exif=exif),
        "restarts.jpg": encoded(colour, "JPEG", restart_marker_blocks=2), "two.mpo": encoded(colour, "MPO", save_all=True, append_images=more()),
        "lossy.webp": encoded(colour, "WEBP"), "lossless.webp": encoded(see_through, "WEBP", lossless=True),
        "animated.webp": encoded(colour, "WEBP", save_all=True, append_images=[picture(48, 32, 5)]), "exif.webp": encoded(colour, "WEBP", exif=exif),
        "rgb.bmp": encoded(colour, "BMP"), "palette.bmp": encoded(colour.convert("P"), "BMP"), "bilevel.bmp": encoded(bilevel, "BMP"),
        "palette.gif": encoded(colour, "GIF"), "interlaced.gif": encoded(grey, "GIF", interlace=1),
        "animated.gif": encoded(colour, "GIF", save_all=True, append_images=more()),
        "raw.tiff": encoded(colour, "TIFF"), "deep.tiff": encoded(deep, "TIFF"), "floats.tiff": encoded(floats, "TIFF"),
        "alpha.tiff": encoded(see_through, "TIFF"), "big.tiff": encoded(colour, "TIFF", big_tiff=True),
        "pages.tiff": encoded(picture(), "TIFF", save_all=True, append_images=more(), compression="tiff_lzw"),
    }  # fmt: skip
    for name in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        found[f"{name.removeprefix('tiff_')}.tiff"] = encoded(colour, "TIFF", compression=name)
    for name in ("group3", "group4", "tiff_ccitt"):
        found[f"{name.removeprefix('tiff_')}.tiff"] = encoded(bilevel, "TIFF", compression=name)
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, data in (images() | pdfs()).items():
        (FOLDER / name).write_bytes(data)
    print(f"{len(list(FOLDER.iterdir()))} files, {sum(f.stat().st_size for f in FOLDER.iterdir()) / 1e3:.0f} kB")
