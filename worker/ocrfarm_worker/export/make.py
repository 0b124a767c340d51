"""The artefact of a claimed unit: made, stored as a blob, its name told."""

from __future__ import annotations

import hashlib
import secrets
from mmap import mmap
from pathlib import Path

from ocrfarm_shared.artefacts import Artefact
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_worker.document import Limits
from ocrfarm_worker.export.bound import bound
from ocrfarm_worker.export.picture import picture
from ocrfarm_worker.hands import Hands
from ocrfarm_worker.insisting import insist


def make(claimed: ClaimedUnit, path: Path, limits: Limits, me: Hands) -> tuple[str, int]:
    """The stored blob's name and its size in bytes. Raises DocumentError, FarmError, OSError."""
    wanted = Artefact.of(claimed.name)
    blobs = BlobStore(me.settings.blob_folder)
    if wanted.form == "pdf":
        pages = insist(me.ledger, calls.pages(claimed.source), me.settings.lease_s)
        made = bound(path, claimed.media_type, pages, claimed.options.options.dpi, limits, me.decoder.caps)
        return _store(claimed, made, blobs)
    page = me.decoder.page(path, claimed.media_type, wanted.page, claimed.options.options.dpi, limits)
    return _store(claimed, picture(page, wanted.width, wanted.form), blobs)


def _store(claimed: ClaimedUnit, body: bytes | mmap, blobs: BlobStore) -> tuple[str, int]:
    """Under a name that no other attempt has: not by its content, so that it never meets a file that is just being unlinked. Where the
    attempt is not recorded, the file belongs to nobody, and the dispatcher's hourly look removes it."""
    name = BlobStore.name(claimed.tenant, hashlib.sha256(f"{claimed.unit}:{claimed.token}".encode()).hexdigest())
    blobs.prepare()
    temporary = blobs.incoming / f"made-{secrets.token_hex(8)}"
    try:
        temporary.write_bytes(body)
        blobs.keep(temporary, name)
    finally:
        temporary.unlink(missing_ok=True)
    return name, len(body)
