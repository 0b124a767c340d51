"""What a document is to the stages: its pages, the limits it is held to, one page as pixels. Opens nothing, imports no decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ocrfarm_shared.errors import NoSuchPage, TooManyPages

if TYPE_CHECKING:
    from ocrfarm_shared.settings import Settings

Pixels = NDArray[np.uint8]
Kind = Literal["image", "tiff", "pdf"]

PDF_TYPE = "application/pdf"


@dataclass(frozen=True)
class Limits:
    """What this farm takes: pages that are read of one document, pixels of one page after decoding or rendering."""

    max_pages: int = 2000
    max_pixels: int = 80_000_000

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(max_pages=settings.max_pages, max_pixels=settings.max_pixels)


@dataclass(frozen=True)
class Plan:
    """What a document holds: how many pages, of what kind, and the numbers (from 1) of those to be read."""

    kind: Kind
    page_count: int
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class LoadedPage:
    """One page as pixels: uint8, (height, width, 3), BGR, EXIF rotation applied. `dpi` is set for PDF pages alone."""

    image: Pixels
    dpi: int | None = None

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])


def chosen(kind: Kind, count: int, pages: str | None, limits: Limits) -> Plan:
    """The plan of a document of `count` pages of which `pages` (`1-4,9,5-`) are wanted. Raises NoSuchPage, TooManyPages."""
    numbers = choose_pages(pages, count)
    if len(numbers) > limits.max_pages:
        raise TooManyPages(
            f"{len(numbers)} pages are more than this farm reads of one document ({limits.max_pages}); "
            "split it, or choose some with `pages`."
        )
    return Plan(kind, count, numbers)


def choose_pages(wanted: str | None, count: int) -> tuple[int, ...]:
    """The pages of a document of `count` pages that a range names, ascending. Raises NoSuchPage where there is none."""
    if wanted is None:
        return tuple(range(1, count + 1))
    chosen: set[int] = set()
    for part in wanted.split(","):
        first, dash, last = part.partition("-")
        start, stop = int(first), int(last) if last else (count if dash else int(first))
        chosen.update(range(max(start, 1), min(stop, count) + 1))
    if not chosen:
        has = "one page" if count == 1 else f"{count} pages"
        raise NoSuchPage(f"None of the pages asked for ({wanted}) exists; the document has {has}.")
    return tuple(sorted(chosen))
