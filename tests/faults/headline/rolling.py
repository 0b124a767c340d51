"""A rolling restart of every part, one at a time (SIGTERM), with jobs queued and two gateways behind one address.

    python -m tests.faults.headline.rolling --jobs 5000 --into tests/faults/headline

Prints the report, and writes it as rolling.md into the folder named. Exit status 1 where a job was lost or a question had no answer.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

from ocrfarm_shared.version import commit
from tests.faults.headline.history import History
from tests.faults.headline.papers import Paper, make
from tests.faults.headline.prober import Prober
from tests.running_farm import RunningFarm

PARTS = ("redis", "dispatcher", "api", "api-2", "worker")
SENDERS = 3
LONGEST_GAP_S = 1.0  # on a quiet machine; see `problems`
"""What the promise "one gateway answering throughout" is held to: never longer between two answers of /livez."""


@dataclass
class Rolled:
    jobs: int
    begun: float = 0.0
    queued_at_start: int = 0
    queued_at_end: int = 0
    restarts: dict[str, float] = field(default_factory=dict)
    """Seconds from SIGTERM until the part did its work again."""
    states: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    alive: Prober | None = None
    asking: Prober | None = None


def run(folder: Path, *, jobs: int, say: Callable[[str], None], **settings: Any) -> Rolled:
    papers = [p for p in make(jobs + jobs // 3 + 40, seed=13) if p.kind == "line"][:jobs]
    out = Rolled(len(papers), time.time())
    with RunningFarm(folder / "state", gateways=2, **settings) as farm:
        pool = [psutil.Process(farm.pid("worker")), *farm.worker_children()]
        for process in pool:  # so that all of them wait when the restarts begin
            process.suspend()
        ids = _submit(farm, papers)
        for process in pool:
            process.resume()
        out.queued_at_start = _queued(farm)
        say(f"{len(ids)} accepted, {out.queued_at_start} queued")
        with Prober(farm.port, "/livez") as out.alive, Prober(farm.port, f"/v1/jobs/{next(iter(ids))}") as out.asking:
            time.sleep(1)
            for part in PARTS:
                out.restarts[part] = _restart(farm, part)
                say(f"{part} did its work again after {out.restarts[part]:.1f} s")
            time.sleep(1)
            out.queued_at_end = _queued(farm)
        say(f"every part was restarted; {out.queued_at_end} still queued")
        views = farm.wait(ids, timeout=1200)
        out.states = Counter(view["state"] for view in views.values())
        for job, paper in ids.items():
            if views[job]["state"] != "succeeded" or f"{paper.number:05d}" not in farm.text(job):
                out.wrong.append(f"{job}: {views[job]}")
    history = History.read(farm.state / "redis")
    out.wrong += [f"{job} ended {len(history.ends[job])} times" for job in ids if len(history.ends[job]) != 1]
    out.wrong += [f"{page} recorded {n} times" for page, n in history.recorded.items() if n != 1]
    out.wrong += [f"{job} is in the ledger, but was never accepted" for job in history.created if job not in ids]
    return out


def _submit(farm: RunningFarm, papers: list[Paper]) -> dict[str, Paper]:
    ids: dict[str, Paper] = {}
    left = list(papers)

    def send() -> None:
        with httpx.Client(base_url=farm.http.base_url, timeout=60, trust_env=False) as http:
            while left:
                try:
                    paper = left.pop()
                except IndexError:
                    return
                answer = http.post("/v1/jobs", files={"file": (paper.name, paper.data)}, data=paper.fields)
                answer.raise_for_status()
                ids[answer.json()["id"]] = paper

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    if len(ids) != len(papers):
        raise RuntimeError(f"only {len(ids)} of {len(papers)} were accepted")
    return ids


def _queued(farm: RunningFarm) -> int:
    return int(farm.http.get("/v1/farm").json()["queued_units"])


def _restart(farm: RunningFarm, part: str) -> float:
    """SIGTERM, and wait until its successor works."""
    log = farm.state / "logs" / f"{part}.log"
    seen, begun = (
        log.read_text("utf8").count("Application startup complete") if part.startswith("api") else 0,
        time.monotonic(),
    )
    old = farm.kill(part, signal.SIGTERM)
    farm.wait_restarted(part, old, timeout=120)
    limit = time.monotonic() + 120
    while not _works(farm, part, seen):
        if time.monotonic() > limit:
            raise TimeoutError(f"{part} does not work again:\n{farm.logs()}")
        time.sleep(0.05)
    return time.monotonic() - begun


def _works(farm: RunningFarm, part: str, seen: int) -> bool:
    """A gateway has started; a worker process has said that it lives; the new dispatcher leads; the ledger answers."""
    if part.startswith("api"):
        return (farm.state / "logs" / f"{part}.log").read_text("utf8").count("Application startup complete") > seen
    try:
        with redis.Redis.from_url((farm.state / "redis" / "url").read_text().strip(), decode_responses=True) as control:
            if part == "dispatcher":
                return f":{farm.pid(part)}:" in str(control.get("of:leader"))
            if part == "worker":
                pids = {f":{process.pid}:" for process in farm.worker_children()}
                alive = control.zrangebyscore("of:slots", time.time(), "+inf")
                return any(pid in process for process in alive for pid in pids)
            return bool(control.ping()) and farm.http.get("/v1/farm").status_code == 200
    except (redis.RedisError, httpx.TransportError):
        return False


def problems(out: Rolled) -> list[str]:
    """What is not as promised; empty where all is.

    Without the other gateway nobody would be answered for as long as a gateway takes to be there again. Half of that is the limit where the
    machine is so busy that even an undisturbed gateway, and the prober, now and then wait for a second.
    """
    assert out.alive
    assert out.asking
    found = list(out.wrong[:20])
    if out.states != Counter(succeeded=out.jobs):
        found.append(f"states: {dict(out.states)}")
    found += [f"/livez: {error}" for error in out.alive.errors()[:10]] + [f"job: {e}" for e in out.asking.errors()[:10]]
    if set(out.alive.statuses()) != {200}:
        found.append(f"/livez: {out.alive.statuses()}")
    if not set(out.asking.statuses()) <= {200, 503}:
        found.append(f"job: {out.asking.statuses()}")
    limit = max(LONGEST_GAP_S, min(out.restarts["api"], out.restarts["api-2"]) / 2)
    if out.alive.longest_gap_s() > limit:
        found.append(f"/livez: nothing for {out.alive.longest_gap_s():.2f} s, where {limit:.2f} would do")
    return found


def markdown(out: Rolled, command: str) -> str:
    assert out.alive
    assert out.asking
    rows = [
        ("jobs queued when the restarts began, and when they were over", f"{out.queued_at_start}, {out.queued_at_end}"),
        ("ended as", ", ".join(f"{n} {s}" for s, n in out.states.most_common())),
        ("lost, doubled, or with another's text", len(out.wrong)),
        *((f"{part}: works again after", f"{seconds:.1f} s") for part, seconds in out.restarts.items()),
        ("`GET /livez` every 50 ms on a new connection: answers", out.alive.statuses()),
        ("longest time between two answers; slowest answer", f"{out.alive.longest_gap_s():.2f} s; {out.alive.slowest_s():.2f} s"),
        ("`GET /v1/jobs/ID` likewise (503 with Retry-After while Redis restarts)", out.asking.statuses()),
        ("longest time between two 200; slowest answer", f"{out.asking.longest_gap_s():.2f} s; {out.asking.slowest_s():.2f} s"),
        ("connections refused, reset or timed out, of both", len(out.alive.errors()) + len(out.asking.errors())),
    ]  # fmt: skip
    about = (
        f"{datetime.fromtimestamp(out.begun, UTC):%Y-%m-%d}, commit {commit()}, {len(os.sched_getaffinity(0))} cores"
    )
    about += f", {platform.machine()}"
    table = "\n".join(f"| {name} | {found} |" for name, found in rows)
    return f"# Rolling restart\n\n`{command}`, {about}. Made by that command; do not edit.\n\n|  |  |\n| --- | --- |\n{table}\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.headline.rolling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--into", type=Path)
    asked = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = run(
            Path(folder),
            jobs=asked.jobs,
            say=lambda said: print(f"{time.monotonic() - begun:6.1f} {said}", file=sys.stderr, flush=True),
        )
    told = markdown(out, f"python -m tests.faults.headline.rolling --jobs {asked.jobs}")
    print(told)
    if asked.into:
        (asked.into / "rolling.md").write_text(told, "utf8")
    found = problems(out)
    print(*(f"BROKEN: {one}" for one in found), sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
