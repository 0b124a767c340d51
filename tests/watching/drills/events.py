"""The drills: which alerts, by what event."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx

from tests.documents import png
from tests.faults.inject.sitecustomize import DIES, HANGS
from tests.faults.pages import slow, until, wait_running
from tests.running_farm import free_port
from tests.watching.drills.ground import Ground, again_and_again

Cause = Callable[[Ground], AbstractContextManager[object]]


@dataclass(frozen=True)
class Drill:
    """`faster`: the rules' durations are divided by that; `instead`: thresholds of seconds that are lowered; `within`: so many seconds its
    alerts have to fire."""

    alerts: tuple[str, ...]
    event: str
    cause: Cause
    faster: float = 60
    instead: Mapping[str, str] = field(default_factory=dict)
    within: float = 60

    @property
    def name(self) -> str:
        return self.alerts[0].removeprefix("Ocrfarm")


@contextmanager
def no_gateway(ground: Ground) -> Iterator[None]:
    with ground.unsupervised():
        ground.farm.kill("api")
        yield


@contextmanager
def one_gateway_less(ground: Ground) -> Iterator[None]:
    """The second one, which `run` has put beside the first."""
    assert ground.second is not None
    ground.second.kill()
    yield


@contextmanager
def no_redis(ground: Ground) -> Iterator[None]:
    with ground.unsupervised(), again_and_again(lambda: ground.farm.http.get("/v1/jobs")):
        ground.farm.kill("redis")
        yield


@contextmanager
def no_workers(ground: Ground) -> Iterator[None]:
    with ground.unsupervised():
        ground.kill_workers()
        yield


@contextmanager
def no_dispatcher(ground: Ground) -> Iterator[None]:
    with ground.stopped(ground.farm.pid("dispatcher")):
        yield


@contextmanager
def pages_that_kill(ground: Ground) -> Iterator[None]:
    jobs = [ground.farm.submit(png(f"Page number {n}", width=DIES, height=160), cache="off") for n in range(3)]
    yield
    ground.farm.wait(jobs, 180)  # one that waits for its next attempt is no work under way to `rested`


@contextmanager
def pages_that_hang(ground: Ground) -> Iterator[None]:
    jobs = [ground.farm.submit(png(f"Page number {n}", width=HANGS, height=160), cache="off") for n in range(4)]
    wait_running(ground.farm, jobs, 2)
    yield
    for job in jobs:
        ground.farm.http.post(f"/v1/jobs/{job}/cancel")
    for process in ground.farm.readers():
        process.kill()


@contextmanager
def too_much_work(ground: Ground) -> Iterator[None]:
    jobs = [ground.farm.submit(slow(f"Page number {n}"), cache="off") for n in range(60)]
    yield
    for job in jobs:
        ground.farm.http.post(f"/v1/jobs/{job}/cancel")


@contextmanager
def a_broken_record(ground: Ground) -> Iterator[None]:
    """A key of the ledger is of another type than it must be: the script that meets it fails, and the gateway answers 500."""
    with ground.farm.redis() as connection:
        connection.set("of:batches:default", "no sorted set")
        with again_and_again(lambda: ground.farm.http.get("/v1/batches")):
            yield
        connection.delete("of:batches:default")


@contextmanager
def a_slow_redis(ground: Ground) -> Iterator[None]:
    """It stands still for more than a second, every other second."""
    pid = ground.farm.pid("redis")

    def stand_still() -> None:
        with ground.stopped(pid):
            time.sleep(1.3)
        time.sleep(1.0)

    def ask() -> None:
        httpx.get(f"http://127.0.0.1:{ground.farm.port}/v1/jobs", timeout=20)

    with again_and_again(stand_still, pause=0), again_and_again(ask, threads=4):
        yield


@contextmanager
def a_target_that_is_not_there(ground: Ground) -> Iterator[None]:
    job = ground.farm.submit(
        png("Page number 7", width=900, height=160), cache="off", webhook=f"http://127.0.0.1:{free_port()}/"
    )
    ground.farm.wait([job])
    yield


@contextmanager
def a_full_redis(ground: Ground) -> Iterator[None]:
    with ground.farm.redis() as connection:
        most = int(connection.info("memory")["maxmemory"])
        names = []
        while int(connection.info("memory")["used_memory"]) < 0.85 * most:
            names.append(f"filler{len(names)}")
            connection.set(names[-1], os.urandom(500_000))
        yield
        connection.delete(*names)


@contextmanager
def a_full_disk(ground: Ground) -> Iterator[None]:
    filler = ground.folder / "filler"
    subprocess.run(["fallocate", "--length", f"{2 * ground.spare_mb}MB", filler], check=True)
    try:
        yield
    finally:
        filler.unlink()


DRILLS = (
    Drill(("OcrfarmWebhooksGivenUp",), "a webhook's target refuses the connection", a_target_that_is_not_there),
    Drill(
        ("OcrfarmErrors",),
        "a record of the ledger is overwritten with another type; its list is asked for",
        a_broken_record,
    ),
    Drill(
        ("OcrfarmSlowAnswers",),
        "Redis stands still (SIGSTOP) for 1.3 s, again and again, while jobs are listed",
        a_slow_redis,
    ),
    Drill(("OcrfarmRedisFull",), "Redis (64 MB) is filled to 85%", a_full_redis),
    Drill(("OcrfarmDiskFull",), "a file of 6 GB is put beside the uploads", a_full_disk),
    Drill(
        ("OcrfarmQueueAging", "OcrfarmBacklog", "OcrfarmPeopleWait"),
        "60 documents of two seconds each come in at once, for two processes",
        too_much_work,
        instead={
            "> 1800 and": "> 15 and",
            "backlog_seconds) > 3600": "backlog_seconds) > 20",
            "[10m])))) > 60": "[10m])))) > 5",
        },
    ),
    Drill(("OcrfarmLedgerAway", "OcrfarmRefusing"), "Redis is killed and stays away, while jobs are listed", no_redis),
    Drill(("OcrfarmGatewayDown",), "of two gateways, one is killed", one_gateway_less),
    Drill(("OcrfarmDown",), "the gateway is killed and stays away", no_gateway),
    Drill(("OcrfarmNoDispatcher",), "the dispatcher stands still (SIGSTOP)", no_dispatcher, within=120),
    Drill(
        ("OcrfarmDeadLetters", "OcrfarmAttemptsFail", "OcrfarmProcessesDie"),
        "three documents come in that kill the process which reads them (SIGKILL), each three times",
        pages_that_kill,
        faster=6,
        within=200,
    ),
    Drill(
        ("OcrfarmStalled",),
        "documents come in that hang both processes for ever",
        pages_that_hang,
        faster=10,
        within=115,
    ),
    Drill(
        ("OcrfarmNoWorker", "OcrfarmNodeLost"),
        "all processes of the node are killed (SIGKILL) and stay away",
        no_workers,
        faster=6,
        within=200,
    ),
)


@dataclass(frozen=True)
class Held:
    """A drill that was held: seconds from the event to each alert's firing in Prometheus' API."""

    drill: Drill
    seconds: Mapping[str, float]


def hold(drill: Drill, ground: Ground) -> Held:
    """Cause the event, and wait for its alerts. Raises AssertionError where one fires before it, or does not fire after it."""
    ground.rested()
    with ExitStack() as stack:
        others = []
        if drill.cause is one_gateway_less:
            port, ground.second = stack.enter_context(ground.second_gateway())
            others.append(f"127.0.0.1:{port}")
        prometheus = stack.enter_context(ground.watched(drill.name, drill.faster, drill.instead, *others))
        watched = set(drill.alerts)
        # On a busy machine a scrape may come late, and a second is all that a drill's rules wait.
        until(lambda: not watched & set(prometheus.firing()), 30, f"{watched} fire before anything has happened")
        begun, fired = time.monotonic(), dict[str, float]()
        with drill.cause(ground):
            while set(fired) != set(drill.alerts):
                now = time.monotonic() - begun
                for name in set(prometheus.firing()) & set(drill.alerts):
                    fired.setdefault(name, now)
                left = set(drill.alerts) - set(fired)
                assert not left or now < drill.within, f"{sorted(left)} did not fire within {drill.within:.0f} s"
                time.sleep(0.2)
    return Held(drill, fired)


def wake(ground: Ground) -> None:
    """Let a supervisor that a broken-off drill left standing go on, so that the farm can be stopped."""
    if ground.farm.process is not None:
        os.kill(ground.farm.process.pid, signal.SIGCONT)
