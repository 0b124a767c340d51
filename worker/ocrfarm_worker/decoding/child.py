"""The process that decodes: `python -I -m ocrfarm_worker.decoding.child LINK PARENT MEMORY_MB CPU_S BINDS`, started by process.py alone.

It imports the decoders, locks itself in, says so, and then serves one document after another until its link closes. Nothing may be
imported after the locks: no file can be opened any more.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import mmap
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from io import BufferedReader
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ocrfarm_shared.errors import DecodeMemory, DocumentError
from ocrfarm_worker import load
from ocrfarm_worker.decoding import locks, wire
from ocrfarm_worker.document import Limits, Pixels

# What Pillow and Python import only when a file asks for it.
_LATER = [
    f"PIL.{n}"
    for n in (
        "MpoImagePlugin",
        "TiffImagePlugin",
        "WebPImagePlugin",
        "ImageCms",
        "ImageColor",
        "ImagePalette",
        "ImageFile",
        "ExifTags",
    )
]
_LATER += [
    f"encodings.{n}"
    for n in ("ascii", "latin_1", "utf_8", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "idna")
]
# Of a process that makes searchable PDFs: 30 MB more.
_BINDING = ["ocrfarm_worker.decoding.binding", "PIL.PngImagePlugin", "PIL.JpegImagePlugin"]
_CV_OUT_OF_MEMORY = -4  # cv::Error::StsNoMem
# Bytes of pixels. What a smaller page took the heap may keep: giving it back costs a fifth of what opening a small picture does.
_LARGE = 4 << 20
_OUT_OF_MEMORY = {"error": DecodeMemory.code, "message": ""}


def main(link_fd: int, parent: int, memory_mb: int, cpu_s: int, binds: int) -> None:
    locks.die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's, which closes the link
    link = socket.socket(fileno=link_fd)
    cv2.setNumThreads(1)
    _import_all(_BINDING if binds else [])
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    held = locks.lock(memory_mb * 1024 * 1024)
    locks.die_with_parent(parent)  # giving up root forgets it
    _silence()
    wire.send(link, {"ready": held})
    while (asked := wire.receive(link)) is not None:
        request, document = asked
        assert document is not None
        locks.allow_cpu(cpu_s)
        answer = _serve(link, request, document)
        small = answer.pop("small", False)
        wire.send(link, {"id": request["id"], **answer})
        if trim is not None and not small:
            trim(0)  # what a large page took goes back to the system; the answer is out, nobody waits for it


def _import_all(more: list[str]) -> None:
    Image.preinit()
    for name in _LATER + more:
        importlib.import_module(name)


def _silence() -> None:
    """The decoders' own words on standard error are no log of ours, and writing to a file is forbidden from now on."""
    os.dup2(0, 1)
    os.dup2(0, 2)


def _serve(link: socket.socket, request: dict[str, Any], document: int) -> dict[str, Any]:
    """The last message of one request, and whether it was a page of few pixels (`small`). Raises OSError where the parent has gone."""
    limits = Limits(max_pixels=request["pixels"])
    with os.fdopen(document, "rb") as file:
        try:
            if request["do"] == "count":
                kind, pages = load.count_pages(file, request["type"], limits)
                return {"kind": kind, "pages": pages}

            if request["do"] == "bind":
                return _bind(link, request, file, limits)

            def allot(height: int, width: int) -> Pixels:
                wire.send(link, {"id": request["id"], "height": height, "width": width})
                return np.frombuffer(_shared(link, height * width * 3), np.uint8).reshape(height, width, 3)

            page = load.load_page(file, request["type"], request["number"], request["dpi"], limits, allot)
            return {"done": True, "drawn": page.dpi is not None, "small": page.image.nbytes < _LARGE}
        except DocumentError as err:
            return {"error": err.code, "message": str(err)[:1000]}
        except MemoryError:
            return _OUT_OF_MEMORY
        except cv2.error as err:
            if err.code == _CV_OUT_OF_MEMORY:
                return _OUT_OF_MEMORY
            return _broken()
        except ConnectionError:
            raise
        except Exception as err:
            if isinstance(err, OSError) and err.errno == errno.ENOMEM:
                return _OUT_OF_MEMORY
            return _broken()


def _broken() -> dict[str, Any]:
    return {"error": "internal", "message": traceback.format_exc()[-4000:]}


def _bind(link: socket.socket, request: dict[str, Any], file: BufferedReader, limits: Limits) -> dict[str, Any]:
    bind: Callable[..., bytes] = sys.modules["ocrfarm_worker.decoding.binding"].bind
    wire.send(link, {"id": request["id"], "text": True})
    made = bind(file, request, _received(link), limits)
    wire.send(link, {"id": request["id"], "size": len(made)})
    _shared(link, len(made))[:] = made
    return {"done": True}


def _received(link: socket.socket) -> bytes:
    """What the parent gives to be read."""
    answer = wire.receive(link)
    if answer is None or answer[1] is None:
        raise ConnectionError
    with os.fdopen(answer[1], "rb") as file:
        return file.read()


def _shared(link: socket.socket, size: int) -> mmap.mmap:
    """The parent's memory of that many bytes; what is written to it the parent sees."""
    answer = wire.receive(link)
    if answer is None or answer[1] is None:
        raise ConnectionError
    try:
        return mmap.mmap(answer[1], size)
    finally:
        os.close(answer[1])


if __name__ == "__main__":
    try:
        main(*(int(argument) for argument in sys.argv[1:6]))
    except (OSError, KeyboardInterrupt):  # the parent has gone, or refused: nobody is left to tell
        sys.exit(1)
