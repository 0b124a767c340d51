"""Kills parts of a running farm by chance, in the order that a seed gives, and notes when each was back."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import redis

from tests.running_farm import RunningFarm

# How often each is chosen. A cut is CLIENT KILL: every connection to Redis, or half of them, is closed; no process dies.
SHARES = {
    "worker process": 24, "pool's parent": 8, "whole pool": 6, "Redis": 9, "gateway": 9, "dispatcher": 4, "connections": 8,
}  # fmt: skip
PROCESS_KILLS = tuple(what for what in SHARES if what != "connections")
PARTS = {
    "pool's parent": "worker",
    "whole pool": "worker",
    "Redis": "redis",
    "gateway": "api",
    "dispatcher": "dispatcher",
}


@dataclass
class Kill:
    """`at`: seconds since the epoch. `back_s`: until the supervisor (or the pool) had the part running again; None: not seen."""

    what: str
    at: float
    pids: list[int] = field(default_factory=list)
    back_s: float | None = None


def plan(kills: int, rng: random.Random) -> list[str]:
    """At least `kills` kills of processes, each kind by its share, and cuts between them; shuffled."""
    whole = sum(SHARES[what] for what in PROCESS_KILLS)
    counts = {what: max(1, round(kills * share / whole)) for what, share in SHARES.items()}
    while sum(counts[what] for what in PROCESS_KILLS) < kills:
        counts["worker process"] += 1
    order = [what for what, count in counts.items() for _ in range(count)]
    rng.shuffle(order)
    return order


class Killer(threading.Thread):
    """Goes through the plan, one blow every `pause_s` on average (between a half and one and a half of it)."""

    def __init__(self, farm: RunningFarm, kills: int, pause_s: float, seed: int, say: Callable[[str], None]) -> None:
        super().__init__(name="killer", daemon=True)
        self.farm, self.pause_s, self.say = farm, pause_s, say
        self.rng = random.Random(f"killer {seed}")
        self.plan = plan(kills, self.rng)
        self.done: list[Kill] = []
        self.error: BaseException | None = None
        self._watchers: list[threading.Thread] = []

    def run(self) -> None:
        try:
            ahead = list(self.plan)
            while ahead:
                time.sleep(self.pause_s * self.rng.uniform(0.5, 1.5))
                kill = self._strike(ahead)
                self.done.append(kill)
                self.say(f"{len(self.done)}/{len(self.plan)} {kill.what} {kill.pids}")
            for watcher in self._watchers:
                watcher.join(60)
        except BaseException as err:
            self.error = err
            raise

    def _strike(self, ahead: list[str]) -> Kill:
        """The next of the plan that there is. What is away because of the blow before comes later: to wait for it at the door and kill it
        as it is born would be another test."""
        limit = time.monotonic() + 60
        while True:
            for place, what in enumerate(ahead):
                with contextlib.suppress(OSError, KeyError, ValueError, psutil.Error, redis.RedisError):
                    kill = self._cut() if what == "connections" else self._kill(what)
                    if kill is not None:
                        del ahead[place]
                        return kill
            if time.monotonic() > limit:
                raise TimeoutError(f"there was nothing of {set(ahead)} to kill for a minute:\n{self.farm.logs()}")
            time.sleep(0.1)

    def _kill(self, what: str) -> Kill | None:
        readers = 0
        if what == "worker process":
            victims = self.farm.readers()
            if not victims:
                return None
            readers = len(victims)
            self.rng.shuffle(victims)
            struck = victims[: 1 if self.rng.random() < 0.8 else len(victims)]
        elif what == "whole pool":
            struck = [psutil.Process(self.farm.pid("worker")), *self.farm.worker_children()]
        else:
            struck = [psutil.Process(self.farm.pid(PARTS[what]))]
        kill = Kill(what, time.time(), [process.pid for process in struck])
        for process in struck:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self._watch(kill, readers)
        return kill

    def _cut(self) -> Kill:
        with redis.Redis.from_url((self.farm.state / "redis" / "url").read_text().strip(), socket_timeout=5) as control:
            own = control.client_id()
            clients = [int(row["id"]) for row in control.client_list() if int(row["id"]) != own]
            if self.rng.random() < 0.5:
                clients = self.rng.sample(clients, max(1, len(clients) // 2))
            kill = Kill("connections", time.time(), [])
            for client in clients:
                with contextlib.suppress(redis.ResponseError):  # it has gone by itself
                    control.client_kill_filter(_id=str(client))
            kill.back_s = 0.0
            return kill

    def _watch(self, kill: Kill, readers: int) -> None:
        def look() -> None:
            limit = time.monotonic() + 60
            while time.monotonic() < limit:
                with contextlib.suppress(OSError, KeyError, ValueError, psutil.Error):
                    if kill.what == "worker process":
                        back = (
                            not set(kill.pids) & {p.pid for p in self.farm.readers()}
                            and len(self.farm.readers()) >= readers
                        )
                    else:
                        back = self.farm.pid(PARTS[kill.what]) not in kill.pids
                    if back:
                        kill.back_s = time.time() - kill.at
                        return
                time.sleep(0.1)

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        self._watchers.append(watcher)
