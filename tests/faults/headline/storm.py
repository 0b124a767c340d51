"""Sends papers to a farm while its parts are killed, then reads them again in peace, then stops it and looks at what was written."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.faults.headline.history import History
from tests.faults.headline.killer import Kill, Killer
from tests.faults.headline.papers import Paper, make
from tests.running_farm import RunningFarm

SENDERS = 3
TAG = "storm"
CANCELLED, DOUBLED, RESENT = 0.03, 0.05, 0.02
"""Shares of the papers whose job is cancelled, that are sent a second time, whose request is repeated with its Idempotency-Key."""


@dataclass
class Sent:
    """One request for a job, made until it was answered. `status` 200 or 202: accepted as `job`."""

    paper: Paper
    key: str
    status: int = 0
    job: str = ""
    at: float = 0.0
    tries: int = 0
    cancel: int = 0
    """What the request to cancel was answered, where one was made."""
    same_again: bool | None = None
    """Whether the request repeated with the same Idempotency-Key was answered with the same job."""


@dataclass
class Storm:
    """All that a run gave, in plain data. `views` and `texts` by job; `calm` by paper: (state, error code, text) of a reading in peace."""

    seed: int
    jobs: int
    begun: float
    sent: list[Sent] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    calm: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    refused: Counter[int] = field(default_factory=Counter)
    """Answers that were no acceptance and were tried again, by status; 0: the connection broke."""
    over: float = 0.0
    history: History = field(default_factory=History)

    @property
    def accepted(self) -> list[Sent]:
        return [one for one in self.sent if one.job]


def run(
    folder: Path, *, jobs: int, kills: int, seed: int, pause_s: float, say: Callable[[str], None], **settings: Any
) -> Storm:
    """The whole of it on a farm of its own in `folder`. `jobs` are the papers sent, doubles counted; about 1 of 100 is no document."""
    storm = Storm(seed, jobs, time.time())
    papers = make(round(jobs / (1 + DOUBLED)), seed)
    say(f"seed {seed}: {len(papers)} papers, {sum(p.pages for p in papers if p.readable)} pages to read")
    farm = RunningFarm(folder / "state", **settings)
    try:
        farm.start()
        _keep_history(farm)
        storm.begun = time.time()
        killer = Killer(farm, kills, pause_s, seed, say)
        killer.start()
        _send_all(farm, storm, papers, seconds=pause_s * len(killer.plan), seed=seed)
        say(f"{len(storm.accepted)} accepted; waiting for the last kill")
        killer.join()
        if killer.error:
            raise killer.error
        storm.kills = killer.done
        storm.over = time.time()
        _collect(farm, storm)
        say("all have ended; the same papers again in peace")
        _read_in_peace(farm, storm, papers)
    finally:
        farm.stop()
    storm.history = History.read(farm.state / "redis")
    return storm


def _keep_history(farm: RunningFarm) -> None:
    """Redis shall not rewrite its append-only file, in this life and the next: it is the witness."""
    with redis.Redis.from_url((farm.state / "redis" / "url").read_text().strip()) as control:
        control.config_set("auto-aof-rewrite-percentage", 0)
        control.config_rewrite()


def _send_all(farm: RunningFarm, storm: Storm, papers: list[Paper], seconds: float, seed: int) -> None:
    """Each paper when it is due, spread evenly over `seconds`; doubles a while after their first."""
    rng = random.Random(f"sender {seed}")
    order = list(papers)
    for double in rng.choices(papers, k=storm.jobs - len(papers)):
        order.insert(rng.randint(order.index(double) + 1, len(order)), double)
    storm.sent = [Sent(paper, f"storm-{seed}-{number}") for number, paper in enumerate(order)]
    whims = [(rng.random(), rng.random(), rng.uniform(0, 2)) for _ in storm.sent]
    lock, left = threading.Lock(), list(range(len(storm.sent)))[::-1]
    begun, failures = time.monotonic(), []

    def send() -> None:
        try:
            with httpx.Client(base_url=farm.http.base_url, timeout=60, trust_env=False) as http:
                while True:
                    with lock:
                        if not left:
                            return
                        number = left.pop()
                    time.sleep(max(0.0, begun + seconds * number / len(storm.sent) - time.monotonic()))
                    one, (resend, cancel, after) = storm.sent[number], whims[number]
                    _send(http, one, storm.refused)
                    if one.job and resend < RESENT:
                        again = Sent(one.paper, one.key)
                        _send(http, again, storm.refused)
                        one.same_again = again.job == one.job
                    if one.job and cancel < CANCELLED:
                        time.sleep(after)
                        cancel_it = partial(http.post, f"/v1/jobs/{one.job}/cancel")
                        one.cancel = _insist(cancel_it, storm.refused).status_code
        except BaseException as err:
            failures.append(err)
            raise

    senders = [threading.Thread(target=send, daemon=True) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    if failures:
        raise failures[0]


def _insist(ask: Callable[[], httpx.Response], refused: Counter[int], tries: int = 3000) -> httpx.Response:
    """Until the farm answers with something else than 429 or 503."""
    for _ in range(tries):
        try:
            answer = ask()
            if answer.status_code not in (429, 503):
                return answer
            refused[answer.status_code] += 1
        except httpx.TransportError:
            refused[0] += 1
        time.sleep(0.1)
    raise TimeoutError("the farm did not answer for minutes")


def _send(http: httpx.Client, one: Sent, refused: Counter[int]) -> None:
    def ask() -> httpx.Response:
        one.tries += 1
        return http.post(
            "/v1/jobs",
            files={"file": (one.paper.name, one.paper.data)},
            data={"tag": TAG, **one.paper.fields},
            headers={"Idempotency-Key": one.key},
        )

    answer = _insist(ask, refused)
    one.status = answer.status_code
    if answer.status_code in (200, 202):
        one.job, one.at = answer.json()["id"], time.time()


def _collect(farm: RunningFarm, storm: Storm) -> None:
    storm.views = farm.wait([one.job for one in storm.accepted], timeout=900)
    for job, view in storm.views.items():
        if view["state"] in ("succeeded", "partial"):
            storm.texts[job] = farm.text(job)


def _read_in_peace(farm: RunningFarm, storm: Storm, papers: list[Paper]) -> None:
    """Each paper again, the cache off, nothing killed: what it says when nobody disturbs."""
    farm.wait_ready()
    wanted = {one.paper.number for one in storm.accepted}
    jobs = {p.number: farm.submit(p.data, name=p.name, cache="off", **p.fields) for p in papers if p.number in wanted}
    views = farm.wait(jobs.values(), timeout=900)
    for number, job in jobs.items():
        state, error = views[job]["state"], views[job].get("error") or {}
        storm.calm[number] = (state, error.get("code", ""), farm.text(job) if state in ("succeeded", "partial") else "")
