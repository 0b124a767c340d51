"""Documents over HTTP: fetched from the gateway into the node's cache, and what is made of them sent back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from mmap import mmap
from pathlib import Path
from typing import TypeVar

from billiard.exceptions import SoftTimeLimitExceeded

from ocrfarm_shared.errors import BlobMissing
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_worker.joined.cache import Cache, Damaged
from ocrfarm_worker.joined.link import Away, Link, NotThere, Refused
from ocrfarm_worker.uploads import NotHeld, NotNow

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE_S = 20.0  # without one byte of news, a unit is somebody else's to try
AWAY_S = 10.0  # for so long a unit is given back then
MOST_DAMAGED = 3


class OverHttp:
    """`sleep` waits between two tries."""

    def __init__(self, link: Link, cache: Cache, sleep: Callable[[float], None] = time.sleep) -> None:
        self._link = link
        self._cache = cache
        self._sleep = sleep
        cache.prepare()

    @contextmanager
    def held(self, claimed: ClaimedUnit) -> Iterator[Path]:
        """Raises BlobMissing, NodeDiskFull, NotNow, NotHeld."""
        content = claimed.blob.rpartition("/")[2]

        def fetch(into: Path) -> None:
            self._insist(
                lambda: self._link.fetch(claimed.unit, claimed.token, into),
                lambda: into.stat().st_size if into.exists() else 0,
            )

        with ExitStack() as stack:
            yield self._whole(content, fetch, stack)

    def _whole(self, content: str, fetch: Callable[[Path], None], stack: ExitStack) -> Path:
        for _ in range(MOST_DAMAGED):
            try:
                return stack.enter_context(self._cache.held(content, fetch))
            except Damaged:
                log.error("%s came damaged; fetching it again", content)
            except SoftTimeLimitExceeded:
                # A slow line: what came is kept, and whoever takes the unit here goes on from there.
                raise NotNow("its upload takes longer than a page may; going on later") from None
        raise BlobMissing("The uploaded file is damaged in the farm's store; submit the document again.")

    def keep(self, claimed: ClaimedUnit, body: bytes | mmap) -> str:
        """Raises NotNow, NotHeld."""
        return self._insist(lambda: self._link.bring(claimed.unit, claimed.token, body), lambda: 0)

    def _insist(self, act: Callable[[], T], came: Callable[[], int]) -> T:
        """Again and again while the gateway is away, until nothing came for PATIENCE_S. `came`: bytes so far."""
        pause, before, end = 0.2, came(), time.monotonic() + PATIENCE_S
        while True:
            try:
                return act()
            except NotThere as err:
                if err.code == BlobMissing.code:
                    raise BlobMissing from None
                raise NotHeld(str(err)) from None
            except Refused as err:
                raise NotNow(f"the gateway refuses this node: {err}", AWAY_S) from None
            except Away as err:
                if (now := came()) > before:
                    pause, before, end = 0.2, now, time.monotonic() + PATIENCE_S
                if time.monotonic() + pause > end:
                    raise NotNow(str(err), AWAY_S) from None
                log.warning("%s; trying again", err)
                self._sleep(pause)
                pause = min(4.0, pause * 2)
