"""The use case: a node that joined fetches the upload of a unit that it holds, and brings what it made of one. No HTTP types here.

A node names a unit and the fencing token of its claim, never a file: what that unit is read from, the ledger says.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path

from ocrfarm_api.callers import Caller
from ocrfarm_api.deps import Farm
from ocrfarm_api.intake import disk_full, steady
from ocrfarm_api.spool import Spool
from ocrfarm_shared.artefacts import made_content
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.errors import BadOption, BlobMissing, FarmFull, NotFound
from ocrfarm_shared.ledger import node_calls
from ocrfarm_shared.ledger.node_calls import Held

MOST_MADE_BYTES = 1_000_000_000  # as a worker makes at most (ocrfarm_worker/export/bound.py)
FULL_S = 30.0
_UNIT = re.compile(r"run_[0-9a-f]{32}:[0-9]{1,9}")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")  # RFC 9530, of one algorithm


async def held(farm: Farm, caller: Caller, unit: str, token: int) -> Held:
    """Raises NotFound: one answer for what never was, has ended, or is somebody else's."""
    found = None
    if _UNIT.fullmatch(unit) and caller.key_id is not None:
        found = await farm.ledger(node_calls.holding(unit, token, caller.key_id))
    if found is None:
        raise NotFound(
            "No node of this token holds such a unit: it was taken back, has ended, or nobody wants it any more."
        )
    return found


async def upload_of(farm: Farm, caller: Caller, unit: str, token: int) -> Path:
    """The file. Raises NotFound, BlobMissing."""
    path = farm.blobs.path((await held(farm, caller, unit, token)).blob)
    if not await asyncio.get_running_loop().run_in_executor(farm.threads, path.is_file):
        raise BlobMissing
    return path


async def keep_made(
    farm: Farm, caller: Caller, unit: str, token: int, body: AsyncIterator[bytes], digest: str | None
) -> str:
    """Store what a worker made for the unit, an artefact's; its blob's name. It is nobody's until the worker records it in the ledger.

    Raises NotFound, BadOption (no `Content-Digest`, or of other bytes), TooLarge, RequestError, FarmFull.
    """
    of = await held(farm, caller, unit, token)
    if of.kind != "artefact":
        raise BadOption("This unit makes no file; it is a page to be read, and its result goes to the ledger.")
    claimed = _DIGEST.fullmatch((digest or "").strip())
    if claimed is None:
        raise BadOption("Say what is sent: `Content-Digest: sha-256=:BASE64:`.")
    await farm.headroom.look(farm)
    if trouble := farm.headroom.trouble(farm.settings):
        raise FarmFull(trouble, retry_after=FULL_S)
    spool = Spool(farm.blobs.incoming, farm.threads, MOST_MADE_BYTES, farm.settings.min_free_disk_bytes)
    try:
        async for piece in steady(body):
            spool.feed(piece)
            await spool.flush()
        if bytes.fromhex(await spool.close()) != base64.b64decode(claimed[1]):
            raise BadOption("What came is not what `Content-Digest` says; send it again.")
        name = BlobStore.name(of.tenant, made_content(unit, token))
        await asyncio.get_running_loop().run_in_executor(farm.threads, farm.blobs.keep, spool.path, name)
    except OSError as err:
        raise (disk_full(err) or err) from err
    finally:
        await spool.discard()
    return name
