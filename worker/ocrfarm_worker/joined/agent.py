"""`ocrfarm worker join`: joins a farm, runs a pool of worker processes with what it was told, and keeps both going for ever.

The pool is a program of its own, `ocrfarm worker`, started again whenever it ends. The agent asks the gateway every half minute: what
changed starts the pool anew, a token that was revoked stops it until it holds again, and a gateway that is away changes nothing.
"""

from __future__ import annotations

import ctypes
import logging
import platform
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from ocrfarm_shared.nodes import FARMS_SETTINGS, JoinedNode, JoinRequest
from ocrfarm_shared.settings import WORKER_START, Settings, read_settings
from ocrfarm_shared.version import version
from ocrfarm_worker.joined.link import Away, Link, Refused
from ocrfarm_worker.joined.memo import Memo, alone, recall, remember

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

ASK_S = 30.0
REFUSED_ASK_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
STEADY_S = 60.0  # a pool that lived that long starts again at once
GRACE_S = 60.0  # pages that are being read may end
_TICK_S = 0.2
_PR_SET_PDEATHSIG = 1

EXIT_REFUSED = 5


@dataclass
class Pause:
    """Grows with each use, up to a minute; some of it by chance, so that a hundred nodes do not come at one moment."""

    seconds: float = FIRST_PAUSE_S

    def next(self) -> float:
        now, self.seconds = self.seconds, min(LONGEST_PAUSE_S, self.seconds * 2)
        return now * random.uniform(0.7, 1.3)  # noqa: S311 - no secret


@dataclass
class Pool:
    """The programs that serve: first the one that makes the models, then the worker."""

    state: Path
    process: subprocess.Popen[bytes] | None = None
    due: float = 0.0
    pause: Pause = field(default_factory=Pause)
    _built: bool = False
    _started: float = 0.0

    def look(self, settings: Settings) -> None:
        """Start what is due, and take note of what ended."""
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return
            self.process = None
            if not self._built and status == 0:
                self._built = True
                return
            if time.monotonic() - self._started > STEADY_S:
                self.pause = Pause()
            wait = self.pause.next()
            self.due = time.monotonic() + wait
            what = "the pool" if self._built else "`ocrfarm models build`"
            log.warning("%s ended with status %d; starting it again in %.0f s", what, status, wait)
        elif time.monotonic() >= self.due:
            self._start(["worker"] if self._built else ["models", "build", *models_of(settings)], settings)

    def _start(self, command: Sequence[str], settings: Settings) -> None:
        self._started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ocrfarm", "--debug", *command],
            env=WORKER_START | settings.child_environment() | {"PYTHONUNBUFFERED": "1"},
            cwd=self.state,
            stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is the agent's, who stops it in order
            preexec_fn=_die_with_parent,
        )

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when its grace is over."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            log.warning("the pool did not stop within %.0f s and was killed", GRACE_S)
            self.process.kill()
            self.process.wait()
        self.process = None
        self.due, self.pause = 0.0, Pause()


def _die_with_parent() -> None:
    """A pool without its agent would serve on with a token that may be revoked: it gets SIGTERM when the agent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def models_of(settings: Settings) -> list[str]:
    """Those of the profiles that this node reads, or of those that are loaded at the start, where somebody chose some; none named: those of
    all."""
    from ocrfarm_shared.profiles import get_profile

    names = [name.strip() for name in (settings.profiles or settings.preload).split(",") if name.strip()]
    return list(dict.fromkeys(model for name in names for model in get_profile(name).models))


class Agent:
    """`own` are the settings that this node was started with; `url` and `token`, where given, win over what it remembers.

    Raises SettingsError out of `run`, and Refused where the farm turns it away the first time.
    """

    def __init__(self, own: Settings, url: str | None, token: str | None) -> None:
        self.own = own.model_copy(update={"state": own.state.expanduser().resolve()})
        self.url, self.token = url, token
        self.stopping = threading.Event()
        self.pool = Pool(self.own.state)
        self._pause = Pause()
        self._away = False
        self._refused = False
        self._heard = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        with alone(self.own.state):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._told_to_stop)
            self.memo = self._who()
            with Link(self.memo.url, self.memo.token) as link:
                try:
                    self._serve(link)
                finally:
                    self.pool.stop()

    def _who(self) -> Memo:
        """Raises Refused where nobody says which farm."""
        kept = recall(self.own.state)
        url, token = (self.url or kept.url).rstrip("/"), self.token or kept.token
        if not url or not token:
            raise Refused(
                "Which farm? `ocrfarm worker join URL TOKEN`; `ocrfarm node token` on the farm's machine makes a token."
            )
        told = kept.told if url == kept.url else None
        return kept.model_copy(update={"id": self.own.node or kept.id, "url": url, "token": token, "told": told})

    def _told_to_stop(self, number: int, _frame: FrameType | None) -> None:
        log.info("%s: stopping; pages that are being read may end", signal.Signals(number).name)
        self.stopping.set()

    def _serve(self, link: Link) -> None:
        settings: Settings | None = None
        due = 0.0
        while not self.stopping.is_set():
            if time.monotonic() >= due:
                due = time.monotonic() + self._ask(link)
                settings = self._follow(settings)
            if settings is not None:
                self.pool.look(settings)
            self.stopping.wait(_TICK_S)

    def _ask(self, link: Link) -> float:
        """Ask the gateway once; seconds until it is to be asked again."""
        asked = JoinRequest(
            id=self.memo.id, version=version(), machine=platform.machine(), serving=self.pool.process is not None
        )
        try:
            told = link.join(asked)
            if why := unreachable(self.memo.url, address(told.redis_url, self.own.redis_url)):
                raise Refused(why)
        except Refused as err:
            if not (self._heard or self._refused or self.pool.process):
                raise  # somebody is there who typed the command
            if not self._refused:
                log.error("this farm does not take this node any more, it stops reading and asks every minute: %s", err)
            self._refused = True
            return REFUSED_ASK_S
        except Away as err:
            wait = self._pause.next()
            if not self._away:
                kept = "; starting with what it said before" if self.memo.told and self.pool.process is None else ""
                log.warning("%s; trying until it does%s", err, kept)
            self._away = True
            return wait
        if self._away or self._refused:
            log.info("%s takes this node again", self.memo.url)
        self._away, self._refused, self._heard, self._pause = False, False, True, Pause()
        if off := _clock_off(told):
            log.error(
                "this node's clock is %.0f s %s the farm's; set it (`timedatectl set-ntp true`)",
                abs(off),
                "ahead of" if off > 0 else "behind",
            )
        if self.memo.told is None or told.model_copy(update={"time": 0.0}) != self.memo.told.model_copy(
            update={"time": 0.0}
        ):
            self.memo = self.memo.model_copy(update={"told": told})
            remember(self.own.state, self.memo)
            log.info("joined %s as %s (release %s)", self.memo.url, told.id, told.version)
        return ASK_S * random.uniform(0.9, 1.1)  # noqa: S311 - no secret

    def _follow(self, now: Settings | None) -> Settings | None:
        """The settings to serve with, None while this node may not. The pool is stopped where it must not go on with what it has."""
        told = None if self._refused else self.memo.told
        wanted = None if told is None else settings_of(self.own, self.memo, told)
        if wanted != now:
            if now is not None and wanted is not None:
                log.info("the farm's settings have changed; the pool starts anew")
            self.pool.stop()
        return wanted


def _clock_off(told: JoinedNode) -> float:
    """Seconds, where they are too many. The pool itself refuses to start then; Redis' clock is asked again there."""
    off = time.time() - told.time
    return off if abs(off) > float(told.settings.get("max_clock_skew_s", 30)) else 0.0


def settings_of(own: Settings, memo: Memo, told: JoinedNode) -> Settings:
    """The pool's: the farm's where all parts must agree, this node's own in all else. Raises SettingsError."""
    farms: dict[str, Any] = {name: value for name, value in told.settings.items() if name in FARMS_SETTINGS}
    if own.preload:
        farms["preload"] = own.preload
    farms |= {
        "redis_url": address(told.redis_url, own.redis_url),
        "redis_user": None,
        "redis_password": None,
        "node": memo.id,
        "join_url": memo.url,
        "node_token": memo.token,
        "api_key": None,
        "url": None,
    }
    return read_settings({}, **(own.model_dump() | farms))


def address(told: str, own: str | None) -> str:
    """Redis' address with the user and password that the farm gave; at another host and port where this node names them itself
    (OCRFARM_REDIS_URL: the near end of a tunnel)."""
    if own is None:
        return told
    farm, here = urlsplit(told), urlsplit(own)
    login = farm.netloc.rpartition("@")[0]
    place = here.netloc.rpartition("@")[2]
    return urlunsplit((here.scheme, f"{login}@{place}" if login else place, here.path or farm.path, here.query, ""))


def unreachable(farm_url: str, redis_url: str) -> str | None:
    """Why a Redis on the farm's own loopback cannot be this node's, as a sentence; None where nothing speaks against it."""
    if _loopback(urlsplit(redis_url).hostname) and not _loopback(urlsplit(farm_url).hostname):
        return (
            "The farm's Redis listens on 127.0.0.1 there, which from here is another machine. Whoever runs the farm sets "
            "OCRFARM_REDIS_HOST to that machine's address in the network; or bring a tunnel here and name its near end with "
            "OCRFARM_REDIS_URL."
        )
    return None


def _loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def run(own: Settings, url: str | None, token: str | None) -> None:
    """Join and serve until told to stop. Raises SettingsError, Refused."""
    Agent(own, url, token).run()
