"""`image_to_string`, `image_to_data` and their kin, in the shape of pytesseract: a script that calls those runs on a farm.

    from ocrfarm import image_to_string

    print(image_to_string("letter.png"))
    print(image_to_string(Image.open("letter.png"), lang="eng+chi_sim", config="--psm 7"))

An image is a path, bytes, an open binary file, a Pillow image or a numpy array (grey, RGB or RGBA, uint8 or bool). Neither library is
imported here: an image of theirs is asked for its own bytes. Of `config`, `--psm` 7, 8 and 13 (a line, a word) are understood, and the
rest is left alone; so are `nice` and what else only a program on this machine could do.
"""

from __future__ import annotations

import csv
import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ocrfarm_shared.errors import BadOption, RequestError

if TYPE_CHECKING:
    from ocrfarm.calls import Choices, Source
    from ocrfarm.client import Client

LANGUAGES = {"eng": "en", "chi_sim": "zh", "chi_tra": "zh", "chi_sim_vert": "zh", "chi_tra_vert": "zh", "jpn": "ja"}
_LINES = {"7", "8", "13"}  # Tesseract's page segmentation modes of a single line or word
_TYPES = {1: 0, 3: 2, 4: 6}  # PNG's colour types by channels (RFC 2083, 4.1.1)


class Output:
    """As pytesseract names them. `DATAFRAME` takes pandas, which is the caller's."""

    BYTES = "bytes"
    DATAFRAME = "data.frame"
    DICT = "dict"
    STRING = "string"


def image_to_string(
    image: Any,
    lang: str | None = None,
    config: str = "",
    nice: int = 0,  # noqa: ARG001 - pytesseract's
    output_type: str = Output.STRING,
    timeout: float = 0,
    *,
    farm: Client | None = None,
) -> Any:
    """The text: a str, or bytes, or {"text": …}. Raises what the farm answers, and TimeoutError after `timeout` seconds (0: none)."""
    text = _read(image, "txt", lang, config, timeout, farm).decode("utf8") + "\n"
    return {Output.STRING: text, Output.BYTES: text.encode(), Output.DICT: {"text": text}}[_known(output_type, 3)]


def image_to_data(
    image: Any,
    lang: str | None = None,
    config: str = "",
    nice: int = 0,  # noqa: ARG001
    output_type: str = Output.STRING,
    timeout: float = 0,
    pandas_config: dict[str, Any] | None = None,
    *,
    farm: Client | None = None,
) -> Any:
    """Boxes and confidences as Tesseract's TSV: a str, bytes, a dict of columns, or a data frame. Raises as `image_to_string`."""
    _known(output_type, 4)
    table = _read(image, "tsv", lang, config, timeout, farm)
    if output_type == Output.BYTES:
        return table
    text = table.decode("utf8")
    if output_type == Output.STRING:
        return text
    if output_type == Output.DICT:
        return _columns(text)
    import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]

    options: dict[str, Any] = {"quoting": csv.QUOTE_NONE, "sep": "\t"} | (pandas_config or {})
    return pandas.read_csv(io.StringIO(text), **options)


def image_to_pdf_or_hocr(
    image: Any,
    lang: str | None = None,
    config: str = "",
    nice: int = 0,  # noqa: ARG001
    extension: str = "pdf",
    timeout: float = 0,
    *,
    farm: Client | None = None,
) -> bytes:
    """A searchable PDF, or hOCR. Raises as `image_to_string`."""
    if extension not in ("pdf", "hocr"):
        raise BadOption(f"`extension` is pdf or hocr, not {extension!r}.")
    return _read(image, extension, lang, config, timeout, farm)


def image_to_alto_xml(
    image: Any,
    lang: str | None = None,
    config: str = "",
    nice: int = 0,  # noqa: ARG001
    timeout: float = 0,
    *,
    farm: Client | None = None,
) -> bytes:
    """ALTO 4. Raises as `image_to_string`."""
    return _read(image, "alto", lang, config, timeout, farm)


def _known(output_type: str, most: int) -> str:
    names = [Output.STRING, Output.BYTES, Output.DICT, Output.DATAFRAME][:most]
    if output_type not in names:
        raise BadOption(f"`output_type` is one of {', '.join(names)}, not {output_type!r}.")
    return output_type


def _read(image: Any, form: str, lang: str | None, config: str, timeout: float, farm: Client | None) -> bytes:
    choices: Choices = {"priority": "interactive"}
    if lang:
        choices["languages"] = list(
            dict.fromkeys(LANGUAGES.get(name, name) for name in lang.split("+") if name != "osd")
        )
    mode = re.search(r"--?psm[ =](\d+)", config)
    if mode and mode.group(1) in _LINES:
        choices["layout"] = "line"
    with _farm(farm) as client:
        source = as_source(image)
        job = client.submit(source, filename=None if isinstance(source, Path) else "image", **choices)
        return client.result_as(job.id, form, timeout or None)


@contextmanager
def _farm(given: Client | None) -> Iterator[Client]:
    """The caller's, or that of the environment; one connection serves all calls of a program."""
    from ocrfarm.transport import Address

    if given is not None:
        yield given
    else:
        address = Address.of(None, None)
        yield _client(address.url, address.api_key)


@cache
def _client(url: str, api_key: str | None) -> Client:
    from ocrfarm.client import Client

    return Client(url, api_key)


def as_source(image: Any) -> Source:
    """What the client sends. Raises RequestError for what is no image that it knows."""
    if isinstance(image, str | Path):
        return Path(image)
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if hasattr(image, "read"):
        return cast(BinaryIO, image)
    if hasattr(image, "save") and hasattr(image, "mode"):
        return _of_pillow(image)
    if hasattr(image, "tobytes") and hasattr(image, "shape") and hasattr(image, "dtype"):
        return _of_array(image)
    raise RequestError(
        f"{type(image).__name__} is no image; give a path, bytes, an open file, a Pillow image or a numpy array."
    )


def _of_pillow(image: Any) -> bytes:
    out = io.BytesIO()
    kept = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
    kept.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _of_array(array: Any) -> bytes:
    """A PNG of it. Colours are taken to be RGB, as pytesseract takes them (OpenCV's are BGR: turn them round)."""
    kind = str(array.dtype)
    if kind not in ("uint8", "bool") or len(array.shape) not in (2, 3) or 0 in array.shape:
        raise RequestError(
            f"An array of {kind} and shape {tuple(array.shape)} is no image; it takes uint8, height x width or x 3."
        )
    height, width = array.shape[:2]
    channels = array.shape[2] if len(array.shape) == 3 else 1
    if channels not in _TYPES:
        raise RequestError(f"An image has 1, 3 or 4 channels, not {channels}.")
    data = (array.astype("uint8") * 255 if kind == "bool" else array).tobytes()
    stride = width * channels
    rows = b"".join(b"\0" + data[at : at + stride] for at in range(0, height * stride, stride))
    head = struct.pack(">IIBBBBB", width, height, 8, _TYPES[channels], 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def _columns(table: str) -> dict[str, list[Any]]:
    """The TSV by columns: numbers, and the last column text."""
    rows = list(csv.reader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE))
    head = rows[0]
    return {name: [row[at] if name == "text" else _number(row[at]) for row in rows[1:]] for at, name in enumerate(head)}


def _number(cell: str) -> int | float:
    value = float(cell)
    return int(value) if value.is_integer() else value
