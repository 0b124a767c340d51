"""Files that are too short: an error in every format, however they end; and none for pages that merely look so."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ocrfarm_shared.errors import Unreadable
from ocrfarm_worker.fax_rows import lacks_rows
from ocrfarm_worker.load import Limits, load_page

WIDTH, HEIGHT = 64, 40
NOISE = np.random.default_rng(1).integers(1, 255, (HEIGHT, WIDTH), dtype=np.uint8)
EOI = b"\xff\xd9"


def encoded(form: str, pixels: NDArray[np.uint8] = NOISE, mode: str = "L", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, form, **options)
    return out.getvalue()


def read(data: bytes) -> NDArray[np.uint8]:
    return load_page(data, None, 1, 100, Limits()).image


ENCODED = {
    "bmp": encoded("BMP"), "gif": encoded("GIF"), "interlaced gif": encoded("GIF", interlace=1),
    "webp": encoded("WEBP"), "lossless webp": encoded("WEBP", lossless=True),
    "jpeg": encoded("JPEG"), "colour jpeg": encoded("JPEG", mode="RGB"), "progressive jpeg": encoded("JPEG", progressive=True),
    "png": encoded("PNG"),
    **{f"tiff {name}": encoded("TIFF", compression=name) for name in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg")},
    **{f"tiff {name}": encoded("TIFF", mode="1", compression=name) for name in ("group3", "group4")},
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("share", [0.4, 0.6, 0.8, 0.9])
def test_bytes_that_just_end(name: str, share: float) -> None:
    data = ENCODED[name]
    with pytest.raises(Unreadable):
        read(data[: int(len(data) * share)])


# ---------------------------------------------------------------------------------------------------- what ends properly


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("share", [0.4, 0.6])
def test_a_jpeg_that_ends_before_its_last_block(mode: str, options: dict[str, object], share: float) -> None:
    whole = encoded("JPEG", mode=mode, quality=90, **options)
    read(whole)
    scan = whole.index(b"\xff\xda")
    if "progressive" in options:  # in its first scan; what later ones lack is sharpness, not rows
        end = whole.index(b"\xff\xc4", scan)  # the next scan's table
        short = whole[: scan + int((end - scan) * share)]
    else:
        short = whole[: scan + int((len(whole) - scan) * share)]
    with pytest.raises(Unreadable, match="cut short"):
        read(short.rstrip(b"\xff") + EOI)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_a_large_jpeg_too(share: float) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (900, 700), dtype=np.uint8)
    whole = encoded("JPEG", pixels, "RGB")
    read(whole)
    scan = whole.index(b"\xff\xda")
    with pytest.raises(Unreadable, match="cut short"):
        read(whole[: scan + int((len(whole) - scan) * share)].rstrip(b"\xff") + EOI)


def test_a_jpeg_without_its_very_last_block() -> None:
    whole = encoded("JPEG", quality=95)
    read(whole)
    with pytest.raises(Unreadable, match="cut short"):
        read(whole[:-150] + EOI)


def test_a_jpeg_that_is_grey_is_whole() -> None:
    grey = np.full((HEIGHT, WIDTH), 128, np.uint8)
    for mode in ("L", "RGB", "CMYK"):
        assert read(encoded("JPEG", grey, mode)).shape == (HEIGHT, WIDTH, 3)
    assert read(encoded("JPEG", grey) + b"whatever a camera adds" + EOI).shape == (HEIGHT, WIDTH, 3)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "MPO", save_all=True, append_images=[Image.fromarray(NOISE)])
    assert read(out.getvalue()).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("rest", [0, 128, 255])
def test_a_page_whose_lower_half_is_empty_is_whole(rest: int) -> None:
    pixels = NOISE.copy()
    pixels[HEIGHT // 2 :] = rest
    for form in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"):
        assert read(encoded(form, pixels)).shape == (HEIGHT, WIDTH, 3)


def gif(lzw: bytes, minimum: int = 8) -> bytes:
    palette = bytes(value for grey in range(256) for value in (grey, grey, grey))
    head = b"GIF87a" + struct.pack("<HHBBB", WIDTH, HEIGHT, 0xF7, 0, 0) + palette
    blocks = b"".join(bytes([len(lzw[at : at + 255])]) + lzw[at : at + 255] for at in range(0, len(lzw), 255))
    return head + b"," + struct.pack("<HHHHB", 0, 0, WIDTH, HEIGHT, 0) + bytes([minimum]) + blocks + b"\0;"


def lzw(pixels: bytes, *, lowest_first: bool) -> bytes:
    """Codes of nine bits alone, beginning anew before they would grow, and the code that says the end (256 and 257 in both formats)."""
    codes = [code for at in range(0, len(pixels), 200) for code in (256, *pixels[at : at + 200])] + [257]
    bits = "".join(f"{code:09b}"[:: -1 if lowest_first else 1] for code in codes)
    octets = [bits[at : at + 8].ljust(8, "0") for at in range(0, len(bits), 8)]
    return bytes(int(octet[:: -1 if lowest_first else 1], 2) for octet in octets)


def test_a_gif_that_says_its_end_too_early() -> None:
    assert np.array_equal(read(gif(lzw(NOISE.tobytes(), lowest_first=True)))[:, :, 0], NOISE)
    with pytest.raises(Unreadable):
        read(gif(lzw(NOISE[:20].tobytes(), lowest_first=True)))


@pytest.mark.parametrize("end", [b"\0\1", b""])
def test_a_bmp_of_runs_that_says_its_end_too_early(end: bytes) -> None:
    palette = b"".join(bytes([grey, grey, grey, 0]) for grey in range(256))

    def bmp(rows: int) -> bytes:
        runs = (bytes([WIDTH, 200]) + b"\0\0") * rows + end
        head = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(runs), 0, 0, 256, 0)
        start = 14 + len(head) + len(palette)
        return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + head + palette + runs

    assert int(read(bmp(HEIGHT)).min()) == 200
    with pytest.raises(Unreadable):
        read(bmp(HEIGHT // 2))


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_whose_sizes_agree(lossless: bool) -> None:
    whole = encoded("WEBP", mode="RGB", lossless=lossless)
    kind, data = whole[12:16], whole[20:]
    for share in (0.5, 0.9, 0.98):
        part = data[: int(len(data) * share) & ~1]
        with pytest.raises(Unreadable):
            read(b"RIFF" + struct.pack("<I", 12 + len(part)) + b"WEBP" + kind + struct.pack("<I", len(part)) + part)


def tiff(pieces: Sequence[bytes], rows: int, compression: int = 1, tile: int = 0, planes: int = 1) -> bytes:
    """A grey TIFF (or RGB in three planes) whose directory stands first: `rows` a strip, or tiles of `tile` x `tile`."""
    tags: list[tuple[int, list[int]]] = [
        (256, [WIDTH]), (257, [HEIGHT]), (258, [8] * planes), (259, [compression]), (262, [2 if planes == 3 else 1]),
        (277, [planes]), (284, [2 if planes > 1 else 1]), (324 if tile else 273, []), (325 if tile else 279, [len(p) for p in pieces]),
        *([(322, [tile]), (323, [tile])] if tile else [(278, [rows])]),
    ]  # fmt: skip
    tags.sort()
    counts = {tag: len(values) or len(pieces) for tag, values in tags}
    after = 8 + 2 + 12 * len(tags) + 4
    data = after + sum(4 * count for count in counts.values() if count > 1)
    starts = [data + sum(len(p) for p in pieces[:i]) for i in range(len(pieces))]
    entries, beside = b"", b""
    for tag, values in tags:
        packed = struct.pack(f"<{counts[tag]}I", *(values or starts))
        entries += struct.pack("<HHI", tag, 4, counts[tag])
        entries += packed if counts[tag] == 1 else struct.pack("<I", after + len(beside))
        beside += packed if counts[tag] > 1 else b""
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8) + directory + beside + b"".join(pieces)


def strips(rows: int) -> list[bytes]:
    return [NOISE[top : top + rows].tobytes() for top in range(0, HEIGHT, rows)]


def test_a_tiff_that_lists_too_few_strips() -> None:
    assert np.array_equal(read(tiff(strips(8), 8))[:, :, 0], NOISE)
    assert np.array_equal(read(tiff([NOISE.tobytes()], 2**32 - 1))[:, :, 0], NOISE)
    for held in (1, 3, 4):
        with pytest.raises(Unreadable, match="cut short"):
            read(tiff(strips(8)[:held], 8))


def test_a_tiff_that_lists_too_few_tiles() -> None:
    tiles = [
        np.pad(NOISE[top : top + 16, left : left + 16], ((0, max(0, top + 16 - HEIGHT)), (0, 0))).tobytes()
        for top in range(0, HEIGHT, 16)
        for left in range(0, WIDTH, 16)
    ]
    assert np.array_equal(read(tiff(tiles, 0, tile=16))[:, :, 0], NOISE)
    with pytest.raises(Unreadable, match="cut short"):
        read(tiff(tiles[:-1], 0, tile=16))


def test_a_tiff_that_lists_too_few_planes() -> None:
    assert np.array_equal(read(tiff([NOISE.tobytes()] * 3, HEIGHT, planes=3))[:, :, 0], NOISE)
    with pytest.raises(Unreadable):
        read(tiff([NOISE.tobytes()] * 2, HEIGHT, planes=3))


@pytest.mark.parametrize(
    ("compression", "pack"),
    [
        (1, lambda raw: raw),
        (5, lambda raw: lzw(raw, lowest_first=False)),
        (8, zlib.compress),
        (32773, lambda raw: b"".join(bytes([63]) + raw[at : at + 64] for at in range(0, len(raw), 64))),
    ],
    ids=["raw", "lzw", "deflate", "packbits"],
)
def test_a_tiff_whose_last_strip_ends_too_early(compression: int, pack: object) -> None:
    assert callable(pack)
    whole = [pack(strip) for strip in strips(8)]
    assert np.array_equal(read(tiff(whole, 8, compression))[:, :, 0], NOISE)
    with pytest.raises(Unreadable):
        read(tiff([*whole[:-1], pack(strips(8)[-1][: 3 * WIDTH])], 8, compression))


def fax(name: str, pixels: NDArray[np.uint8], height: int, strips: int = 1, reverse: bool = False) -> bytes:
    """A bilevel TIFF of that many strips that says to be of `height` rows; `pixels` are those that it holds."""
    rows = -(-height // strips)
    pieces = []
    for top in range(0, height, rows):
        out = io.BytesIO()
        part = pixels[top : top + rows]
        Image.fromarray(part).convert("1").save(out, "TIFF", compression=name, tiffinfo={262: 0})
        with Image.open(out) as image:
            tags = image.tag_v2  # type: ignore[attr-defined]  # a TIFF's
            start, size, options = tags[273][0], tags[279][0], tags.get(292, 0)
        pieces.append(out.getvalue()[start : start + size])
    if reverse:
        pieces = [bytes(int(f"{byte:08b}"[::-1], 2) for byte in piece) for piece in pieces]
    values: dict[int, list[int]] = {
        256: [WIDTH], 257: [height], 258: [1], 259: [4 if name == "group4" else 3], 262: [0], 266: [2 if reverse else 1],
        273: [], 277: [1], 278: [rows], 279: [len(piece) for piece in pieces], 292 if name == "group3" else 293: [options],
    }  # fmt: skip
    after = 8 + 2 + 12 * len(values) + 4
    start = after + (8 * len(pieces) if len(pieces) > 1 else 0)
    values[273] = [start + sum(map(len, pieces[:i])) for i in range(len(pieces))]
    entries, beside = b"", b""
    for tag, listed in sorted(values.items()):
        packed = struct.pack(f"<{len(listed)}I", *listed)
        entries += struct.pack("<HHI", tag, 4, len(listed))
        entries += packed if len(listed) == 1 else struct.pack("<I", after + len(beside))
        beside += packed if len(listed) > 1 else b""
    directory = struct.pack("<H", len(values)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8) + directory + beside + b"".join(pieces)


BILEVEL = np.where(NOISE > 200, 255, 0).astype(np.uint8)
WHITE_END = np.vstack([BILEVEL[: HEIGHT // 2], np.full((HEIGHT // 2, WIDTH), 255, np.uint8)])


@pytest.mark.parametrize("reverse", [False, True], ids=["highest bit first", "lowest bit first"])
@pytest.mark.parametrize("strips", [1, 4])
@pytest.mark.parametrize("pixels", [BILEVEL, WHITE_END], ids=["full", "white below"])
@pytest.mark.parametrize("name", ["group3", "group4"])
def test_a_fax_that_ends_before_its_last_row(name: str, pixels: NDArray[np.uint8], strips: int, reverse: bool) -> None:
    assert np.array_equal(read(fax(name, pixels, HEIGHT, strips, reverse))[:, :, 0], pixels)
    for held in (HEIGHT - 2, HEIGHT * 4 // 5) if strips > 1 else (HEIGHT - 2, HEIGHT // 2, 3):
        with pytest.raises(Unreadable, match="cut short"):
            read(fax(name, pixels[:held], HEIGHT, strips, reverse))


def test_a_fax_of_black_rows_alone() -> None:
    black = np.zeros((HEIGHT, WIDTH), np.uint8)
    assert np.array_equal(read(fax("group4", black, HEIGHT))[:, :, 0], black)
    with pytest.raises(Unreadable, match="cut short"):
        read(fax("group4", black[:5], HEIGHT))


@pytest.mark.parametrize("name", ["group3", "group4"])
@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\0\1"])
def test_a_fax_strip_of_nonsense_takes_no_time(name: str, filling: bytes) -> None:
    whole = fax(name, BILEVEL, HEIGHT)
    tags = {257: HEIGHT, 256: WIDTH, 259: 4 if name == "group4" else 3, 273: (len(whole),), 279: (4_000_000,)}
    begun = time.process_time()
    lacks_rows(tags, io.BytesIO(whole + filling * (4_000_000 // len(filling))))
    assert time.process_time() - begun < 10
