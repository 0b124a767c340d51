"""`ocrfarm dispatcher`: what must happen though nobody asks. Any number may run; a lock in Redis lets one of them lead.

Every round: take back lost leases and lost messages, end what is past its deadline, expire results (one script, `sweep`), close
batches that nobody closed (`batch_tend`), and unlink uploads that no job refers to. Every hour: look for files that the ledger
never heard of, left by a gateway that died. It outlives every restart of Redis: a killed worker's page comes back through here,
so this process ends on SIGTERM or SIGINT alone.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Sequence
from itertools import islice
from types import FrameType

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ocrfarm_api.hook_sender import Sender
from ocrfarm_shared.blobs import BlobStore
from ocrfarm_shared.ledger import Ledger, batch_calls, calls, pace_calls
from ocrfarm_shared.ledger.client import CONNECTION
from ocrfarm_shared.pace import left_to_faster
from ocrfarm_shared.settings import Settings
from ocrfarm_shared.telemetry import log_context

log = logging.getLogger(__name__)

SWEEP_LIMIT = 200
MOST_SWEEPS = 50  # in a row, before the lock is renewed
REAP_LIMIT = 200
REAP_GRACE_S = 60.0
# The ledger forgets after 30 s that an upload is being unlinked, and lets gateways store it again.
UNLINK_WITHIN_S = 20.0
HOUSEKEEPING_S = 3600.0
LONGEST_PAUSE_S = 5.0


def run(settings: Settings) -> None:
    """Dispatch until SIGTERM or SIGINT. Raises SettingsError where no Redis is named."""
    stop = threading.Event()

    def told(number: int, _frame: FrameType | None) -> None:
        log.info("dispatcher stops: %s", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    Dispatcher(settings).work(stop)


class Dispatcher:
    """One dispatcher. `work` until the event is set; `round` is one turn of it, for whoever drives it by hand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.who = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        # No pauses inside the client: they would outlast a SIGTERM. The loop below tries again.
        connection = redis.Redis.from_url(settings.broker_url, retry=Retry(NoBackoff(), 1), **CONNECTION)
        self.ledger = Ledger(connection, settings.namespace)
        self.blobs = BlobStore(settings.blob_folder)
        self.leads = False
        self._housekeeping_due = 0.0
        self._paced = True  # what a former leader wrote is written anew

    def work(self, stop: threading.Event) -> None:
        """Rounds every `sweep_s`, for ever; while Redis is away, tries grow apart up to 5 s (and never over `sweep_s`)."""
        self.blobs.prepare()
        sender = Sender(self.settings)
        sender.start()
        trouble, pause = False, 0.1
        while not stop.is_set():
            try:
                self.round()
                if trouble:
                    log.info("Redis answers again")
                trouble, pause = False, 0.1
                stop.wait(self.settings.sweep_s)
            except RedisError as err:
                if not trouble:
                    log.warning("Redis does not answer (%s); trying until it does", err)
                trouble = True
                self._lose_lead()
                stop.wait(min(pause, self.settings.sweep_s))
                pause = min(pause * 2, LONGEST_PAUSE_S)
            except Exception:
                log.exception("a round failed; the next one comes all the same")
                stop.wait(self.settings.sweep_s)
        sender.stop()
        self._resign()

    def round(self) -> bool:
        """One turn: lead or stay behind, sweep, remove. False where another dispatcher leads. Raises RedisError."""
        if not self._lead():
            return False
        for _ in range(MOST_SWEEPS):
            swept = self.ledger(calls.sweep(self.settings, limit=SWEEP_LIMIT))
            if swept.anything:
                log.info("swept: %s", swept)
            for unit in swept.taken_back:
                with log_context(unit=unit, page=int(unit.rpartition(":")[2])):
                    log.warning("its worker fell silent; the page was taken back")
            for job in swept.late:
                with log_context(job=job):
                    log.info("its deadline has passed")
            if max(swept.lost, swept.delayed, swept.deadlines, swept.expired) < SWEEP_LIMIT:
                break
        self._pace()
        tended = self.ledger(batch_calls.tend(self.settings))
        if tended.anything:
            log.info("batches: %s", tended)
        self._reap()
        if time.monotonic() >= self._housekeeping_due:
            self._find_orphans()
            self._housekeeping_due = time.monotonic() + HOUSEKEEPING_S
        return True

    def _pace(self) -> None:
        """Which processes leave the end of a backlog to faster ones."""
        alive = self.ledger(pace_calls.processes())
        left = left_to_faster(alive)
        if left or self._paced:
            self.ledger(pace_calls.leave(left, sweep_s=self.settings.sweep_s))
        self._paced = bool(left)

    # ------------------------------------------------------------------ who leads
    def _lead(self) -> bool:
        leads = self.ledger(calls.lead(self.who, seconds=3 * self.settings.sweep_s))
        if leads and not self.leads:
            log.info("dispatcher %s leads", self.who)
        elif not leads:
            self._lose_lead()
        self.leads = leads
        return leads

    def _lose_lead(self) -> None:
        if self.leads:
            log.warning("dispatcher %s no longer leads", self.who)
        self.leads = False

    def _resign(self) -> None:
        """Let the lock lapse now, so that the next dispatcher need not wait for it."""
        try:
            if self.leads:
                self.ledger(calls.lead(self.who, seconds=0.001))
        except RedisError as err:
            log.info("the lock could not be let go, it lapses by itself: %s", err)
        self.ledger.close()

    # ------------------------------------------------------------------ uploads
    def _reap(self, orphans: Sequence[str] = ()) -> None:
        """Unlink what the ledger says is free, then tell it so; until then no gateway stores the same upload."""
        done: list[str] = []
        while True:
            asked = time.monotonic()
            free = self.ledger(calls.reap(grace_s=REAP_GRACE_S, done=done, orphans=orphans, limit=REAP_LIMIT))
            if not free:
                return
            done, orphans = self._unlink(free, asked + UNLINK_WITHIN_S), ()

    def _unlink(self, names: Sequence[str], before: float) -> list[str]:
        """Those that are gone. Late ones are left to the hourly look: a gateway may have stored them again."""
        gone: list[str] = []
        for name in names:
            if time.monotonic() > before:
                log.warning("too slow to unlink %d uploads; they are left for later", len(names) - len(gone))
                break
            try:
                self.blobs.remove(name)
                gone.append(name)
            except OSError as err:
                with log_context(blob=name):
                    log.error("an upload cannot be unlinked: %s", err)
        return gone

    def _find_orphans(self) -> None:
        """Files older than an hour that no job refers to, and temporary files that a gateway which died left behind."""
        removed = self.blobs.sweep_incoming(HOUSEKEEPING_S)
        if removed:
            log.info("removed %d temporary files", removed)
        old = self.blobs.older_than(HOUSEKEEPING_S)
        while names := list(islice(old, REAP_LIMIT)):
            self._reap(names)
            self._lead()  # a folder of many thousands takes a while
