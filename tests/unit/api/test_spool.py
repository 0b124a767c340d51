"""What uploads hold in memory before it is written: each a megabyte, all together a bound."""

from __future__ import annotations

import asyncio
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocrfarm_api import spool
from ocrfarm_api.spool import HELD, Spool


def test_many_uploads_that_stop_short_of_a_megabyte_hold_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MOST_HELD_BYTES", 2_000_000)
    before = HELD.bytes
    piece = os.urandom(60_000)

    async def upload(threads: ThreadPoolExecutor) -> None:
        spools = [Spool(tmp_path, threads, 10_000_000) for _ in range(20)]
        for _ in range(15):  # 0.9 MB each, 18 MB in all
            for one in spools:
                one.feed(piece)
                await one.flush()
                assert HELD.bytes - before <= 2_000_000
        digests = {await one.close() for one in spools[:10]}
        assert digests == {hashlib.sha256(15 * piece).hexdigest()}
        spools[10].forget()
        for one in spools:
            await one.discard()

    with ThreadPoolExecutor(2) as threads:
        asyncio.run(upload(threads))
    assert HELD.bytes == before
    assert not list(tmp_path.iterdir())
