"""What is sent through the storm: small documents, all different, some of them long, some of them bad. Made from the seed alone."""

from __future__ import annotations

import io
import random
import string
import time
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

LETTERS = "".join(c for c in string.ascii_uppercase + string.digits if c not in "O0I1LS5Z2B8")
LINE = (360, 48)
PAGE = (420, 130)


@dataclass(frozen=True)
class Paper:
    """One document. `kind`: line, pdf, tiff, page, truncated, noise (a PNG's first bytes and nothing sensible), no document."""

    number: int
    kind: str
    name: str
    data: bytes
    pages: int = 1
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def readable(self) -> bool:
        return self.kind in ("line", "pdf", "tiff", "page")


def make(count: int, seed: int) -> list[Paper]:
    """`count` papers: of 100, about 90 lines, 3 pages, 2 PDFs, 1 TIFF, 4 bad ones; in an order by chance."""
    rng = random.Random(f"papers {seed}")
    kinds = ["pdf"] * max(2, count // 50) + ["tiff"] * max(1, count // 100) + ["page"] * max(2, count // 33)
    kinds += (
        ["truncated"] * max(1, count // 60) + ["noise"] * max(1, count // 100) + ["no document"] * max(1, count // 100)
    )
    kinds += ["line"] * max(0, count - len(kinds))
    rng.shuffle(kinds)
    return [_paper(number, kind, rng) for number, kind in enumerate(kinds[:count])]


def _paper(number: int, kind: str, rng: random.Random) -> Paper:
    if kind == "no document":
        return Paper(number, kind, "notes.txt", f"Not a document, number {number}.".encode())
    if kind == "noise":
        return Paper(number, kind, "noise.png", b"\x89PNG\r\n\x1a\n" + rng.randbytes(400))
    if kind == "truncated":
        whole = _bytes([_line(_words(number, 1, rng), LINE)], "PNG")
        return Paper(number, kind, "half.png", whole[: len(whole) // 2], fields={"layout": "line"})
    if kind == "line":
        return Paper(
            number, kind, "line.png", _bytes([_line(_words(number, 1, rng), LINE)], "PNG"), fields={"layout": "line"}
        )
    if kind == "page":
        text = "\n".join(_words(number, row, rng) for row in range(1, 4))
        return Paper(number, kind, "page.png", _bytes([_line(text, PAGE)], "PNG"), fields={"layout": "page"})
    pages = rng.randint(3, 12)
    images = [_line(_words(number, page, rng), LINE) for page in range(1, pages + 1)]
    name = {"pdf": "PDF", "tiff": "TIFF"}[kind]
    return Paper(number, kind, f"many.{kind}", _bytes(images, name), pages, {"layout": "line"})


def _words(number: int, part: int, rng: random.Random) -> str:
    """Text that no other paper has: its number, the page's, and a code."""
    return f"{number:05d} {part:02d} " + "".join(rng.choices(LETTERS, k=8))


def _line(text: str, size: tuple[int, int]) -> Image.Image:
    image = Image.new("L", size, 255)
    face = ImageFont.load_default(28)
    ImageDraw.Draw(image).multiline_text((14, 6), text, fill=10, font=face, spacing=12)
    return image


def _bytes(images: list[Image.Image], kind: str) -> bytes:
    out = io.BytesIO()
    first, *rest = images
    made = time.gmtime(0)  # Pillow writes the second in which a PDF is made, and the same seed must make the same bytes
    options = {
        "PDF": {"resolution": 150.0, "creationDate": made, "modDate": made},
        "TIFF": {"compression": "tiff_deflate"},
    }.get(kind, {})
    many = {"save_all": True, "append_images": rest} if kind in ("PDF", "TIFF") else {}
    first.save(out, kind, **many, **options)  # type: ignore[arg-type]  # options by name, of Pillow's save
    return out.getvalue()
