"""A body with many files, as it streams: a multipart form with any number of `file` parts, or one raw file.

Each goes to a temporary file of its own; whoever drives this takes those that are `ready`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ocrfarm_api.form_body import MAX_FIELDS, FormBody
from ocrfarm_api.spool import Spool
from ocrfarm_api.zip_file import is_zip
from ocrfarm_shared.errors import BadOption, OcrFarmError, TooLarge

KEY = "key"
MAX_KEY = 255


@dataclass
class Part:
    """One file that came. `key`: what its sender calls it; `trouble`: why its bytes were not all kept."""

    index: int
    filename: str | None
    key: str | None
    spool: Spool
    trouble: OcrFarmError | None = None

    def feed(self, data: bytes | memoryview, limit: int) -> None:
        """What is longer than a document may be is thrown away as it comes; a zip may be longer."""
        if self.trouble is None:
            self.spool.feed(data)
            if self.spool.size > limit and not is_zip(self.spool.head):
                self.trouble = TooLarge(
                    f"The document is larger than the {limit / 1e6:g} MB that this farm takes; split it or scale it down."
                )
                self.spool.forget()


class ManyFiles(FormBody):
    """`new_spool` makes the place for the next file. A field `key` is the key of the file that follows it; all other fields come before the
    first file, so that each file can be taken as soon as it is there, but for those in `late`, which are of the whole request."""

    def __init__(
        self, boundary: bytes, new_spool: Callable[[], Spool], limit: int, most: int, late: Collection[str] = ()
    ) -> None:
        super().__init__(boundary)
        self.most_parts = MAX_FIELDS + 2 * most
        self.ready: deque[Part] = deque()
        self.current: Part | None = None
        self.begun = False
        """A file has begun: the fields are all there, but for the late ones."""
        self._late = late
        self._new_spool = new_spool
        self._limit = limit
        self._most = most
        self._key: str | None = None
        self._count = 0

    def field(self, name: str, value: str) -> None:
        if name == KEY:
            if not 0 < len(value) <= MAX_KEY:
                raise BadOption(f"`key` is a text of 1 to {MAX_KEY} characters.")
            self._key = value
            return
        if self.begun and name not in self._late:
            raise BadOption(f"The field `{name[:100]}` came after a file; send options before the first file.")
        if len(self.fields) >= MAX_FIELDS:
            raise BadOption(f"The form has more than {MAX_FIELDS} fields.")
        super().field(name, value)

    def begin_file(self, filename: str | None) -> None:
        if self._count >= self._most:
            raise BadOption(f"The form has more than {self._most} files; send the rest in another request.")
        self.current = Part(self._count, filename, self._key, self._new_spool())
        self.begun, self._key = True, None
        self._count += 1

    def file_data(self, data: memoryview) -> None:
        assert self.current is not None
        self.current.feed(data, self._limit)

    def end_file(self) -> None:
        assert self.current is not None
        self.ready.append(self.current)
        self.current = None
