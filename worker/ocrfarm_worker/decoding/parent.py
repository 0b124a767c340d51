"""The worker process's end of its decoding child: documents go there, pixels come back, and its death is an error of the page.

Whatever goes wrong under way (a time limit, a child that dies or talks nonsense), the child is killed: an answer can never be taken for
another page's. A page is refused as one that crashes the decoder only by a child that had opened nothing before, so that nobody pays for
what the former document did.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from ocrfarm_shared.errors import DecodeCrashed, DecodeMemory, DecodeTimeout, DocumentError, WorkerLost
from ocrfarm_worker.decoding.process import Caps, Child
from ocrfarm_worker.document import Limits, LoadedPage, Plan, chosen

__all__ = ["Caps", "Decoder"]

log = logging.getLogger(__name__)


class Decoder:
    """One child, started when it is first needed (or by `start`), replaced when it dies, grows or has served long enough.

    For one thread. `starts` counts the children, `pid` is the present one's, `locks` what holds it in. `spent_s`: processor seconds of the
    last document that was broken off (by a time limit, say).
    """

    def __init__(self, caps: Caps | None = None) -> None:
        self.caps = caps or Caps()
        self.starts = 0
        self.spent_s = 0.0
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        return self._child.process.pid if self._child else None

    @property
    def locks(self) -> tuple[str, ...]:
        """What holds the child in, as far as it has said so. Starts it if need be."""
        return self._ready().locks

    def start(self) -> None:
        """Start the child and do not wait for it: it imports its libraries meanwhile."""
        if self._child is None:
            self._child = Child(self.caps)
            self.starts += 1

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ what it is for
    def plan(self, source: Path | bytes, media_type: str | None, limits: Limits, pages: str | None = None) -> Plan:
        """As `load.plan`, in the child. Raises also DecodeCrashed, DecodeMemory, DecodeTimeout, and FarmErrors."""
        kind, count = self._ask(source, {"do": "count", "type": media_type, "pixels": limits.max_pixels})
        return chosen(kind, count, pages, limits)

    def page(self, source: Path | bytes, media_type: str | None, number: int, dpi: int, limits: Limits) -> LoadedPage:
        """As `load.load_page`, in the child. Raises also DecodeCrashed, DecodeMemory, DecodeTimeout, and FarmErrors.

        The pixels lie in memory that the child wrote them to; it is given back with the array.
        """
        request = {"do": "page", "type": media_type, "number": number, "dpi": dpi, "pixels": limits.max_pixels}
        page: LoadedPage = self._ask(source, request)
        return page

    # ------------------------------------------------------------------ the child
    def _ready(self) -> Child:
        self.start()
        assert self._child is not None
        try:
            self._child.await_ready()
        except BaseException:
            self.close()
            raise
        return self._child

    def _ask(self, source: Path | bytes, request: dict[str, Any]) -> Any:
        with opened(source) as document:
            while True:
                child = self._ready()
                innocent = child.served > 0
                before = child.processor_s()
                try:
                    answer = child.ask(document, request)
                except (DecodeCrashed, DecodeMemory, WorkerLost) as err:
                    self.close()
                    if not innocent:
                        raise
                    log.warning("%s after %d other documents; once more in a new process", err.code, child.served - 1)
                    continue
                except DocumentError as err:
                    if isinstance(err, DecodeTimeout):
                        self.close()
                    else:
                        self._replace_if_due(child)
                    raise
                except BaseException:  # a time limit too: what it still says would be taken for the next page's answer
                    self.spent_s = child.processor_s() - before
                    self.close()
                    raise
                self._replace_if_due(child)
                return answer

    def _replace_if_due(self, child: Child) -> None:
        served_out = self.caps.documents and child.served >= self.caps.documents
        if served_out or (self.caps.resting_mb and child.resident_mb() > self.caps.resting_mb):
            self.close()
            self.start()


@contextmanager
def opened(source: Path | bytes) -> Iterator[int]:
    """A descriptor of the document, open for reading and for nothing else."""
    if isinstance(source, Path):
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    else:
        fd = os.memfd_create("document", os.MFD_CLOEXEC)
        os.write(fd, source)
        os.lseek(fd, 0, os.SEEK_SET)
    try:
        yield fd
    finally:
        os.close(fd)
