"""The artefact of a claimed unit: made, stored as a blob, its name told."""

from __future__ import annotations

from mmap import mmap
from pathlib import Path

from ocrfarm_shared.artefacts import Artefact
from ocrfarm_shared.ledger import calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_worker.document import Limits
from ocrfarm_worker.export.bound import bound
from ocrfarm_worker.export.picture import picture
from ocrfarm_worker.hands import Hands
from ocrfarm_worker.insisting import insist


def make(claimed: ClaimedUnit, path: Path, limits: Limits, me: Hands) -> tuple[str, int]:
    """The stored blob's name and its size in bytes. Raises DocumentError, FarmError, OSError, NotNow, NotHeld."""
    wanted = Artefact.of(claimed.name)
    made: bytes | mmap
    if wanted.form == "pdf":
        pages = insist(me.ledger, calls.pages(claimed.source), me.settings.lease_s)
        made = bound(path, claimed.media_type, pages, claimed.options.options.dpi, limits, me.decoder.caps)
    else:
        page = me.decoder.page(path, claimed.media_type, wanted.page, claimed.options.options.dpi, limits)
        made = picture(page, wanted.width, wanted.form)
    return me.uploads.keep(claimed, made), len(made)
