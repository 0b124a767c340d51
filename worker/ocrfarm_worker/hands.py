"""What one worker process holds: its engines, its ledger, and the heart that says it lives.

The heart is a thread: every few seconds it renews the process's slot and, while a page is being read, the page's lease. It never
renews a lease past the hard time limit, so that a page that hangs cannot be held for ever by a healthy thread.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from ocrfarm_models.engines import Engines
from ocrfarm_shared.counting import tally
from ocrfarm_shared.ledger import Ledger, calls
from ocrfarm_shared.ledger.records import ClaimedUnit
from ocrfarm_shared.ledger.taking import Taker
from ocrfarm_shared.profiles import get_profile
from ocrfarm_shared.settings import Settings, SettingsError
from ocrfarm_worker import counted
from ocrfarm_worker.capability import capability, preloaded
from ocrfarm_worker.decoding.parent import Caps, Decoder
from ocrfarm_worker.gate import GATE
from ocrfarm_worker.own_pace import Pace
from ocrfarm_worker.page_log import PageLog
from ocrfarm_worker.uploads import SharedFolder, Uploads
from ocrfarm_worker.warmth import warmth

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holding:
    """The unit that this process reads now, and those (unit, token) that it reads along with it. `until` is on the monotonic clock: the
    end of the hard time limit."""

    unit: str
    token: int
    until: float
    along: tuple[tuple[str, int], ...] = ()


class Hands:
    """One worker process. `ledger` is its own connection pool; `decoder` opens documents; engines are loaded once a profile and kept."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger.open(settings)
        self.node = settings.node or platform.node() or "node"
        self.process = f"{self.node}:{os.getpid()}:{time.time_ns() // 1_000_000}"
        self.decoder = Decoder(Caps.of(settings))
        self.uploads = _uploads(settings)
        self.page_log = PageLog()
        self.pages_read = 0  # by this process since it began
        self.page_s: float | None = None  # what a page takes, of late
        self.pace = Pace()
        self.capability = capability(settings)
        self.reads = list(self.capability.reads)
        self._holding: Holding | None = None
        self._engines: dict[str, Engines] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heart", daemon=True)

    def engines(self, profile: str) -> Engines:
        """Loaded on first use. Raises ModelUnavailable, UnknownProfile."""
        if profile not in self._engines:
            counts = tally.take()
            self._engines[profile] = Engines.load(get_profile(profile))
            tally.take()  # a model's first runs only warm it
            tally.give_back(counts)
        return self._engines[profile]

    def one_more(self, profile: str, seconds: float, *, alone: bool = True) -> None:
        """A page was read and recorded, in so many seconds; with others (`alone` false), it is a small picture."""
        self.pages_read += 1
        self.page_s = counted.pace(self.page_s, seconds)
        if alone:
            self.pace.page(profile, seconds)

    def hold(self, units: Sequence[ClaimedUnit]) -> None:
        """One unit, or several that are read together."""
        first, *along = [(one.unit, one.token) for one in units]
        self.page_log.begin(first[0])
        self._holding = Holding(*first, time.monotonic() + self.settings.hard_time_limit_s, tuple(along))

    def taker(self, owner: str, after: str | None = None) -> Taker:
        """How this process takes units, as that Celery task. `after`: the profile that it has just read; its queue is looked into last."""
        at = self.reads.index(after) + 1 if after in self.reads else 0
        return Taker(
            owner=owner,
            node=self.node,
            process=self.process,
            lease_s=self.settings.lease_s,
            # What fails is read alone afterwards: where it is not tried again, it must be alone the first time.
            most=self.pace.most_pictures() if self.settings.max_attempts > 1 else 1,
            profiles=(*self.reads[at:], *self.reads[:at]),
        )

    def let_go(self) -> None:
        self._holding = None
        self.page_log.end()

    def start(self) -> None:
        wanted = preloaded(self.settings, self.reads)
        self.decoder.start()  # it imports its libraries while this process loads its models
        for name in wanted:
            self.engines(name)
        self.capability = self.capability.measured(self.engines(wanted[0]).recognizer)
        tally.take()  # the benchmark is no page
        logging.getLogger().addHandler(self.page_log)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        logging.getLogger().removeHandler(self.page_log)
        self._thread.join(timeout=1)
        self.decoder.close()
        try:
            self.ledger(calls.farewell(self.process, self.reads, counters=tally.take()))
        except RedisError:
            log.debug("could not say farewell; the slot runs out by itself")

    # ------------------------------------------------------------------ the heart
    def _beat_on(self) -> None:
        while True:
            try:
                self.beat()
            except RedisError as err:
                log.warning("heartbeat not heard: %s", err)
            except Exception:
                log.exception("heartbeat failed")
            if self._stop.wait(self.settings.heartbeat_s):
                return

    def beat(self) -> None:
        held = self._holding
        if held and time.monotonic() > held.until:
            held = None
        counts = tally.take()
        try:
            pulse = self.ledger(
                calls.heartbeat(
                    self.process,
                    self._about(held),
                    lease_s=self.settings.lease_s,
                    unit=held.unit if held else None,
                    token=held.token if held else None,
                    log=self.page_log.unsent(held.unit) if held else None,
                    counters=counts,
                    along=held.along if held else (),
                )
            )
        except BaseException:
            tally.give_back(counts)
            raise
        if pulse.drained:
            GATE.close_for(self.settings.lease_s)
        elif GATE.closed:
            GATE.open()

    def _about(self, held: Holding | None) -> dict[str, Any]:
        return {
            "node": self.node,
            "pid": os.getpid(),
            **self.capability.told(),
            "profiles": sorted(self._engines),
            "pace": self.pace.told(),
            "reading": held.unit if held else None,
            "pages_read": self.pages_read,
            "page_s": self.page_s and round(self.page_s, 4),
            "memory": counted.memory_bytes(self.decoder.pid),
            "host": warmth(),
        }


def _uploads(settings: Settings) -> Uploads:
    """The gateway's folder; over HTTP for a node that joined. Raises SettingsError."""
    if not settings.join_url:
        return SharedFolder(settings.blob_folder)
    from ocrfarm_worker.joined.cache import Cache
    from ocrfarm_worker.joined.link import Link
    from ocrfarm_worker.joined.uploads import OverHttp

    if not settings.node_token:
        raise SettingsError("OCRFARM_JOIN_URL is set and OCRFARM_NODE_TOKEN is not; `ocrfarm worker join` sets both.")
    cache = Cache(settings.state / "uploads", int(settings.node_cache_mb * 1e6))
    return OverHttp(Link(settings.join_url, settings.node_token), cache)


_hands: Hands | None = None


def start(settings: Settings) -> Hands:
    """Make this process a worker: load and warm the models, then say that it lives."""
    global _hands
    _hands = Hands(settings)
    _hands.start()
    return _hands


def hands() -> Hands:
    """This process's hands. Raises RuntimeError outside a worker process."""
    if _hands is None:
        raise RuntimeError("this process is no worker; start it with `ocrfarm worker`")
    return _hands


def stop() -> None:
    global _hands
    if _hands is not None:
        _hands.stop()
        _hands = None
