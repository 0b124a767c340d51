"""What a file is, by its first bytes alone: the name and the content type that a client sends are claims, not facts."""

from __future__ import annotations

from dataclasses import dataclass

from ocrfarm_shared.errors import UnsupportedType

HEAD_BYTES = 1024  # a PDF's header may stand anywhere in its first 1024 bytes (ISO 32000-1, annex H.3, note 13)

_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes of the known DIB headers; `BM` alone would match any text


@dataclass(frozen=True)
class Kind:
    """`many`: it may hold several pages, so a worker counts them first."""

    media_type: str
    many: bool = False


PNG = Kind("image/png")
JPEG = Kind("image/jpeg")
WEBP = Kind("image/webp")
GIF = Kind("image/gif")
TIFF = Kind("image/tiff", many=True)
BMP = Kind("image/bmp")
PDF = Kind("application/pdf", many=True)
KINDS = (PNG, JPEG, WEBP, GIF, TIFF, BMP, PDF)
MANY = frozenset(kind.media_type for kind in KINDS if kind.many)
"""The media types of documents that may hold several pages."""


def kind_of(head: bytes) -> Kind:
    """The kind of a file that begins with these bytes (the first HEAD_BYTES of it). Raises UnsupportedType."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):  # the last two: BigTIFF
        return TIFF
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return BMP
    if b"%PDF-" in head[:HEAD_BYTES]:
        return PDF
    raise UnsupportedType
