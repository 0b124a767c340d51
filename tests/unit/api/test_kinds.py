from __future__ import annotations

import io

import pytest
from PIL import Image

from ocrfarm_api.kinds import HEAD_BYTES, kind_of
from ocrfarm_shared.errors import UnsupportedType


@pytest.mark.parametrize(
    ("name", "media_type", "many"),
    [
        ("PNG", "image/png", False),
        ("JPEG", "image/jpeg", False),
        ("WEBP", "image/webp", False),
        ("GIF", "image/gif", False),
        ("BMP", "image/bmp", False),
        ("TIFF", "image/tiff", True),
        ("PDF", "application/pdf", True),
    ],
)
def test_real_files_are_known(name: str, media_type: str, many: bool) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "white").save(out, name)
    kind = kind_of(out.getvalue()[:HEAD_BYTES])
    assert (kind.media_type, kind.many) == (media_type, many)


@pytest.mark.parametrize(
    "head", [b"MM\0*\0\0\0\x08", b"MM\0+\0\x08\0\0", b"II+\0\x08\0\0\0", b"\0\n\n%PDF-1.4 after some leading bytes"]
)
def test_rarer_beginnings(head: bytes) -> None:
    assert kind_of(head).many


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x89PN",
        b"<svg xmlns=",
        b"PK\x03\x04",
        b"RIFF\0\0\0\0WAVE",
        b"BM is how this text begins, no bitmap",
        b"x" * 1024,
    ],
)
def test_anything_else_is_refused(head: bytes) -> None:
    with pytest.raises(UnsupportedType):
        kind_of(head)
