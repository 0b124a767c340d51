"""Where a worker has documents from, and where it puts what it makes of them: the gateway's folder, or (a node that joined) HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from mmap import mmap
from pathlib import Path
from typing import Protocol

from ocrfarm_shared.artefacts import made_content
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.errors import BlobMissing
from ocrfarm_shared.ledger.records import ClaimedUnit


class NotNow(Exception):
    """What the unit needs cannot be had at this moment, and that is not the document's fault (the gateway is away): the unit is given back
    for `seconds`, and no attempt is spent. `why` is for the log."""

    def __init__(self, why: str, seconds: float = 5.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class NotHeld(Exception):
    """Nobody wants the unit any more, or it is somebody else's now: there is nothing to record."""


class Uploads(Protocol):
    def held(self, claimed: ClaimedUnit) -> AbstractContextManager[Path]:
        """The document's file, there as long as the context is open. Raises BlobMissing, NodeDiskFull, NotNow, NotHeld."""

    def keep(self, claimed: ClaimedUnit, body: bytes | mmap) -> str:
        """Store what was made of it; the blob's name, to be recorded. Raises OSError, NotNow, NotHeld."""


class SharedFolder:
    """The gateway's own folder, on the same machine or volume."""

    def __init__(self, folder: Path) -> None:
        self._blobs = BlobStore(folder)

    @contextmanager
    def held(self, claimed: ClaimedUnit) -> Iterator[Path]:
        path = self._blobs.path(claimed.blob)
        if not path.exists():
            raise BlobMissing
        yield path

    def keep(self, claimed: ClaimedUnit, body: bytes | mmap) -> str:
        """Where the attempt is not recorded, the file belongs to nobody, and the dispatcher's hourly look removes it."""
        name = BlobStore.name(claimed.tenant, made_content(claimed.unit, claimed.token))
        self._blobs.prepare()
        temporary = self._blobs.incoming / f"made-{secrets.token_hex(8)}"
        try:
            temporary.write_bytes(body)
            self._blobs.keep(temporary, name)
        finally:
            temporary.unlink(missing_ok=True)
        return name
