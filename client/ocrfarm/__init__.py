"""ocrfarm: send documents to the farm and get their text back.

    from ocrfarm import Client

    with Client() as farm:
        print(farm.submit("letter.png").text())

Nothing is imported before it is used: `import ocrfarm` costs a few milliseconds, `Client` and the typed results come on first
mention.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrfarm.async_batches import AsyncBatch
    from ocrfarm.async_client import AsyncClient, AsyncJob
    from ocrfarm.batches import Batch
    from ocrfarm.client import Client, Job
    from ocrfarm.tesseract import Output, image_to_alto_xml, image_to_data, image_to_pdf_or_hocr, image_to_string
    from ocrfarm_shared.contracts import Document, FarmView, JobState, JobView, Line, Page, ProfileView, Word
    from ocrfarm_shared.errors import OcrFarmError

_HOMES = {
    "AsyncClient": "ocrfarm.async_client",
    "AsyncJob": "ocrfarm.async_client",
    "AsyncBatch": "ocrfarm.async_batches",
    "Batch": "ocrfarm.batches",
    "Client": "ocrfarm.client",
    "Job": "ocrfarm.client",
    "OcrFarmError": "ocrfarm_shared.errors",
    **dict.fromkeys(
        ["Output", "image_to_alto_xml", "image_to_data", "image_to_pdf_or_hocr", "image_to_string"], "ocrfarm.tesseract"
    ),
    **dict.fromkeys(
        ["Document", "FarmView", "JobState", "JobView", "Line", "Page", "ProfileView", "Word"],
        "ocrfarm_shared.contracts",
    ),
}

__all__ = [
    "AsyncBatch",
    "AsyncClient",
    "AsyncJob",
    "Batch",
    "Client",
    "Document",
    "FarmView",
    "Job",
    "JobState",
    "JobView",
    "Line",
    "OcrFarmError",
    "Output",
    "Page",
    "ProfileView",
    "Word",
    "__version__",
    "image_to_alto_xml",
    "image_to_data",
    "image_to_pdf_or_hocr",
    "image_to_string",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("ocrfarm")
    if name not in _HOMES:
        raise AttributeError(f"module 'ocrfarm' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
