"""A searchable PDF, made in a decoding process of its own: whoever opens a stranger's document is held in."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ocrfarm_shared.contracts import Page, Polygon
from ocrfarm_shared.formats.boxes import box_of, words
from ocrfarm_shared.version import version
from ocrfarm_worker.decoding.parent import opened
from ocrfarm_worker.decoding.process import Caps, Child
from ocrfarm_worker.document import Limits

MOST_BYTES = 1_000_000_000


def bound(
    source: Path | bytes, media_type: str | None, pages: Iterable[Page], dpi: int, limits: Limits, caps: Caps
) -> mmap.mmap:
    """The document as a PDF with its text. `media_type` as the gateway found it, None: by its bytes; `dpi`: of pictures that do not say
    theirs.

    The process is started for this one document, and ended after it. Raises DocumentError (DecodeCrashed, DecodeMemory, DecodeTimeout among
    them) and FarmErrors.
    """
    request = {
        "do": "bind",
        "type": media_type,
        "dpi": dpi,
        "pixels": limits.max_pixels,
        "producer": f"ocrfarm {version()}",
    }
    child = Child(replace(caps, cpu_s=2 * caps.cpu_s), binds=True)
    try:
        child.await_ready()
        with opened(source) as document:
            return child.bind(document, request, _text(pages), MOST_BYTES)
    finally:
        child.end()


def _text(pages: Iterable[Page]) -> bytes:
    """As `decoding/binding.py` takes it. Pages that could not be read have none."""
    return json.dumps(
        {
            "pages": [
                {
                    "number": page.number,
                    "width": page.width,
                    "height": page.height,
                    "lines": [[[word.text, _corners(word.polygon)] for word in words(line)] for line in page.lines],
                }
                for page in pages
                if not page.error
            ]
        }
    ).encode()


def _corners(polygon: Polygon) -> Polygon:
    """Four, in reading direction from the top left; of a polygon with more, its box's."""
    if len(polygon) == 4:
        return polygon
    box = box_of(polygon)
    return [(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)]
