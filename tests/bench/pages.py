"""What the benchmarks read, and with which profiles: the pages of EVAL/cost.txt, or the project's samples where no EVAL is given."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ("accurate", "accurate-int8", "balanced")
DOCUMENTS = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".pdf"}
TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".pdf": "application/pdf",
}


def page_files(evaluation: Path | None) -> list[Path]:
    """Files of one page each."""
    if evaluation:
        return [evaluation / name for name in (evaluation / "cost.txt").read_text("utf8").split()]
    return sorted(p for p in (ROOT / "samples").iterdir() if p.suffix.lower() in (".png", ".jpg"))
