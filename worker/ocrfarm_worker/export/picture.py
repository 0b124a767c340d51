"""A page as a picture for a browser: what the polygons of a result are drawn on.

JPEG is the usual form: WebP has half its size and takes ten times as long (400 ms instead of 30 for an A4 page at 1,600 pixels), and it is
a worker's core that makes it while somebody waits.
"""

from __future__ import annotations

import io

import cv2
from PIL import Image

from ocrfarm_shared.artefacts import Form
from ocrfarm_worker.document import LoadedPage, Pixels

# WebP knows no side longer than 16,383 pixels, and no screen shows more.
MOST_HEIGHT = 16_000
_QUALITY = {"jpeg": 82, "webp": 80}


def picture(page: LoadedPage, width: int, form: Form) -> bytes:
    """The page as a file of that form, at most `width` pixels wide, never enlarged; for `pdf` there is none (ValueError)."""
    if form == "pdf":
        raise ValueError("a page's picture is no PDF")
    image = Image.fromarray(cv2.cvtColor(_smaller(page.image, width), cv2.COLOR_BGR2RGB))
    out = io.BytesIO()
    match form:
        case "jpeg":
            image.save(out, "JPEG", quality=_QUALITY[form])
        case "webp":
            image.save(out, "WEBP", quality=_QUALITY[form], method=2)
        case "png":
            image.save(out, "PNG", compress_level=6)
    return out.getvalue()


def _smaller(image: Pixels, width: int) -> Pixels:
    height_now, width_now = image.shape[:2]
    scale = min(1.0, width / width_now, MOST_HEIGHT / height_now)
    if scale == 1.0:
        return image
    size = (max(1, round(width_now * scale)), max(1, round(height_now * scale)))
    smaller: Pixels = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return smaller
