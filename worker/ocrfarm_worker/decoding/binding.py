"""A document and its text bound into a searchable PDF: the child's end of it. `export/bound.py` has the parent's."""

from __future__ import annotations

import json
from io import BufferedReader
from typing import Any

from ocrfarm_worker.document import Limits
from ocrfarm_worker.export.searchable import ReadPage, searchable
from ocrfarm_worker.load import is_pdf


def bind(file: BufferedReader, request: dict[str, Any], text: bytes, limits: Limits) -> bytes:
    """The PDF. `text`: {"pages": [{"number", "width", "height", "lines": [[[text, [[x, y], …]], …], …]}]}. Raises DocumentError."""
    pages = {
        page["number"]: ReadPage(page["width"], page["height"], page["lines"]) for page in json.loads(text)["pages"]
    }
    return searchable(file, is_pdf(file, request["type"]), pages, request["dpi"], request["producer"], limits)
