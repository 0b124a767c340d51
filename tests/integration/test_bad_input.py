"""Bad input gets a stable code and a sentence that says what to do; the farm goes on."""

from __future__ import annotations

import base64
import io
import zlib

import pytest
from PIL import Image

from tests.documents import many_pages, page, png, png_bomb
from tests.running_farm import RunningFarm

pytestmark = pytest.mark.farm


def refused(farm: RunningFarm, data: bytes, status: int, code: str, **fields: str) -> str:
    answer = farm.http.post("/v1/jobs", files={"file": ("x", data)}, data=fields)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body = answer.json()
    assert body["code"] == code
    assert body["status"] == status
    assert len(body["detail"]) > 20
    return str(body["detail"])


def failed(farm: RunningFarm, data: bytes, code: str, **fields: str) -> str:
    job = farm.submit(data, cache="off", **fields)
    view = farm.wait([job])[job]
    assert view["state"] == "failed", view
    assert view["error"]["code"] == code
    assert view["attempt"] == 1, "a bad document is not tried again"
    answer = farm.http.get(f"/v1/jobs/{job}/result")
    assert answer.status_code == 409
    assert view["error"]["message"] in answer.text
    return str(view["error"]["message"])


def test_empty(farm: RunningFarm) -> None:
    answer = farm.http.post("/v1/jobs", files={"file": ("x", b"")})
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] == "empty_file"


def test_no_file(farm: RunningFarm) -> None:
    answer = farm.http.post("/v1/jobs", data={"profile": "accurate"}, files={"other": ("a", b"x")})
    assert answer.status_code in (400, 422)


def test_wrong_type(farm: RunningFarm) -> None:
    assert "PNG" in refused(farm, b"MZ this is a program", 415, "unsupported_type")
    refused(farm, b"<html><body>no</body></html>", 415, "unsupported_type")


def test_too_large(farm: RunningFarm) -> None:
    refused(farm, b"\x89PNG\r\n\x1a\n" + bytes(21_000_000), 413, "too_large")


def test_unknown_option(farm: RunningFarm) -> None:
    assert "profil" in refused(farm, png("x"), 422, "bad_option", profil="accurate")
    refused(farm, png("x"), 422, "bad_option", options='{"dpii": 3}')
    refused(farm, png("x"), 422, "bad_option", options="no json")
    refused(farm, png("x"), 422, "bad_option", pages="one")
    refused(farm, png("x"), 422, "bad_option", layout="circle")


def test_unknown_profile(farm: RunningFarm) -> None:
    assert "accurate" in refused(farm, png("x"), 422, "unknown_profile", profile="nonsense")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_truncated(farm: RunningFarm, kind: str) -> None:
    out = io.BytesIO()
    page("This page will be cut short\nin the middle of it").save(out, kind)
    failed(farm, out.getvalue()[: len(out.getvalue()) // 2], "unreadable")


def test_a_truncated_page_after_a_good_one_has_not_its_text(farm: RunningFarm) -> None:
    good = png("The text of the good page stands here")
    for _ in range(3):
        job = farm.submit(good, cache="off")
        farm.wait([job])
        failed(farm, good[: len(good) - 40], "unreadable")


def test_truncated_pdf(farm: RunningFarm) -> None:
    data = many_pages(["one", "two"], "PDF")
    failed(farm, data[: len(data) // 3], "unreadable")


def test_encrypted_pdf(farm: RunningFarm) -> None:
    assert "password" in failed(farm, ENCRYPTED_PDF, "encrypted")


def test_too_many_pages(farm: RunningFarm) -> None:
    failed(farm, many_pages(["p"] * 51, "TIFF"), "too_many_pages")
    job = farm.submit(many_pages(["p"] * 51, "TIFF"), cache="off", pages="1-2")
    assert farm.wait([job])[job]["state"] == "succeeded"


def test_no_such_page(farm: RunningFarm) -> None:
    failed(farm, many_pages(["p", "q"], "PDF"), "no_such_page", pages="7-9")


def test_too_many_pixels(farm: RunningFarm) -> None:
    out = io.BytesIO()
    Image.new("1", (6000, 4000)).save(out, "PNG")
    failed(farm, out.getvalue(), "too_many_pixels")


def test_a_bomb_is_never_unpacked(farm: RunningFarm) -> None:
    """400 megapixels in some 50 KB: refused by its header."""
    bomb = png_bomb()
    assert len(bomb) < 100_000
    failed(farm, bomb, "too_many_pixels")


def test_some_pages_of_a_document_fail(farm: RunningFarm) -> None:
    """A TIFF whose last page is beyond the limit: the others are read, the job is partial and says why."""
    small, large = page("A page that is fine"), Image.new("1", (6000, 4000))
    out = io.BytesIO()
    small.save(out, "TIFF", save_all=True, append_images=[page("Another one"), large], compression="tiff_deflate")
    job = farm.submit(out.getvalue(), cache="off")
    view = farm.wait([job])[job]
    assert view["state"] == "partial"
    assert view["error"]["code"] == "too_many_pixels"
    pages = farm.document(job)["pages"]
    assert [bool(p["error"]) for p in pages] == [False, False, True]
    assert "fine" in farm.text(job)


# One empty page, AES-128, the user password "secret"; made with pikepdf.
ENCRYPTED_PDF = zlib.decompress(
    base64.b64decode(
        "eNqFUk2P0zAQvec/FM2lxyUex3ZiqarEblsJwapVS/ey6sGxnW5RN6lSL9pF/AHuXPYIR7jDESQO8BMW8QfgwJkbwkk/UQ8kisZ5nnnveTzNQa"
        "d3hPdF0Pz4+82fAIFAkT4NWi0IB2pql0A9MoTwyc3CQniinJoXU2i3A5ubKpHuFZwUV7kDhPDRzCzhHKK6dLIpXvHtSqN/SnNnc7cEtpI7tWam"
        "jotrz0L8S8nqm1QspU/c2BraZXFVas/rWdrtfak9Jban9NjmU3cBEYWwN5s7W/o4V852rC5MXbR0pVWXwfvR95+Du8mXe+WH158b41dv343vvn"
        "162bj9evvjV+P4RUW+Tl3L8P0D9SpH4ciZ9erBlbvoPqush51C9xc2r5JO/UZ3dEa3vlBUx6hOsnE3cio3qjS7FJpA2IcW1YIaQblKaRQj52hj"
        "E9tEICaxMLEU1hhr4giZTGTK41SjzjjXhGvMaCy9Rr8LLR8GcISkYh36/nvBy97GuQ/l7mcMLS00TxXljNAoUzTBNGVWZIIYwngsFSEUGRNSkl"
        "RahshIjIoZicS7YBq92ngleua1dld0XdosICACsn1AcB5xyGCLoe9wvZPvMMEOMKTRAUapPMAiPwRbzJVqNvf9ru5qWBTVHNcTNpo9tyAgfNiB"
        "81aEmYmFzaROBbM6i5T0jSSZxDRhlJv2/zP8CHdzXd4sHPBaoZ44Vbq6A4IlQbPZ7feCvzEJ/SA="
    )
)
