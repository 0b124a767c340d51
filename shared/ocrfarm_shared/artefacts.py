"""What a worker makes of a document when somebody first asks for it: a page as a picture, the searchable PDF.

An artefact belongs to the run of the job that was asked: it is made once for all jobs that follow that run, and goes when the last of them
goes. Its name says all that there is to choose; sizes are a few, so that nobody fills the disk with pictures that differ by a pixel.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, Self, cast, get_args

Form = Literal["jpeg", "webp", "png", "pdf"]

# Widths of pictures, pixels: a thumbnail, a phone, a screen, as large as it is given. A narrower page is never enlarged.
WIDTHS = (320, 800, 1600, 3200)
USUAL_WIDTH = 1600

_TYPES: dict[str, str] = {"jpeg": "image/jpeg", "webp": "image/webp", "png": "image/png", "pdf": "application/pdf"}


@dataclass(frozen=True)
class Artefact:
    """`page` (from 1) as a picture at most `width` pixels wide; or, with `form` pdf (and both 0), the whole document."""

    form: Form
    page: int = 0
    width: int = 0

    @classmethod
    def picture(cls, page: int, width: int, form: Form) -> Self:
        """`width` is rounded up to one of WIDTHS, or down to the largest."""
        return cls(form, page, next((w for w in WIDTHS if w >= width), WIDTHS[-1]))

    @property
    def name(self) -> str:
        """As the ledger knows it."""
        return self.form if self.form == "pdf" else f"{self.form}-{self.page}-{self.width}"

    @classmethod
    def of(cls, name: str) -> Self:
        """Raises ValueError for what is no artefact's name (a later release's, say)."""
        form, _, rest = name.partition("-")
        if form not in get_args(Form):
            raise ValueError(f"no artefact is called {name!r}")
        page, _, width = rest.partition("-")
        return cls(cast(Form, form), int(page or 0), int(width or 0))

    @property
    def media_type(self) -> str:
        return _TYPES[self.form]


def made_content(unit: str, token: int) -> str:
    """What stands for the content in the name of a made file's blob: the attempt that made it, so that it never meets a file that is just
    being unlinked, nor one of another attempt."""
    return hashlib.sha256(f"{unit}:{token}".encode()).hexdigest()
