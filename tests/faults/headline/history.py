"""What was really written, from Redis' own append-only file: every command that changed the ledger, in order, over all of its lives.

The ledger's scripts are replicated by their effects, so the file holds each HSET by itself. Counting those that record a page or end a
job asks nobody's word: not the gateway's, not the ledger's counters.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO


class Rewritten(Exception):
    """Redis has rewritten the file: it holds the state now, no longer the way to it."""


def files(folder: Path) -> list[Path]:
    """Redis 6 has one file, Redis 7 a folder of them. Raises Rewritten."""
    single = folder / "appendonly.aof"
    if single.exists():
        return [single]
    parts = folder / "appendonlydir"
    if len(list(parts.glob("*.base.*"))) > 1 or any(".1.base." not in p.name for p in parts.glob("*.base.*")):
        raise Rewritten(f"{parts} was rewritten")
    return sorted(parts.glob("*.incr.aof"), key=lambda p: int(p.name.split(".")[-3]))


def commands(path: Path) -> Iterator[list[bytes]]:
    """Redis' protocol: each command an array of strings. Stops at an unfinished last one; raises Rewritten."""
    with path.open("rb") as file:
        while head := file.readline():
            if head[:1] != b"*":
                raise Rewritten(f"{path} is no plain list of commands")
            found = [_string(file) for _ in range(int(head[1:]))]
            if any(part is None for part in found):
                return
            yield [part for part in found if part is not None]


def _string(file: BinaryIO) -> bytes | None:
    head = file.readline()
    if head[:1] != b"$" or not head.endswith(b"\r\n"):
        return None
    size = int(head[1:])
    data = file.read(size + 2)
    return data[:-2] if len(data) == size + 2 else None


@dataclass
class History:
    """By job id, page (`run:number`) or unit. Times are seconds since the epoch, by Redis' clock."""

    created: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    ends: defaultdict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    recorded: Counter[str] = field(default_factory=Counter)
    claims: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed_attempts: Counter[str] = field(default_factory=Counter)
    """By the failure's code."""
    messages: int = 0
    stale_writes: int = 0
    commands: int = 0

    @classmethod
    def read(cls, folder: Path, namespace: str = "of") -> History:
        """Of the Redis whose data lie in `folder`; read it when Redis was stopped, or what it wrote last may be missing."""
        out = cls()
        for path in files(folder):
            for command in commands(path):
                out.commands += 1
                if len(command) > 2 and command[1].startswith(f"{namespace}:".encode()):
                    out._note(command[0].upper(), command[1].decode()[len(namespace) + 1 :].split(":"), command[2:])
        return out

    def _note(self, verb: bytes, key: list[str], rest: list[bytes]) -> None:
        match verb, key:
            case ((b"HSET" | b"HMSET"), ["job", job]):
                self._job(job, _pairs(rest))
            case ((b"HSET" | b"HMSET"), ["run", run, "p"]):
                for number in rest[::2]:
                    self.recorded[f"{run}:{number.decode()}"] += 1
            case ((b"HSET" | b"HMSET"), ["unit", run, number]):
                said = _pairs(rest)
                if said.get("state") == "running":
                    self.claims[f"{run}:{number}"].append(float(said["started"]))
            case ((b"LPUSH" | b"RPUSH"), ["q", _]) if rest[0].startswith(b"{"):
                self.messages += len(rest)
            case b"RPUSH", ["run", _, "a"]:
                for attempt in rest:
                    self.failed_attempts[json.loads(attempt)["failure"]["code"]] += 1
            case b"HINCRBY", ["stats"] if rest[0] == b"stale_writes":
                self.stale_writes += int(rest[1])

    def _job(self, job: str, said: dict[str, str]) -> None:
        if "created" in said and "run" in said:
            self.created.setdefault(job, float(said["created"]))
            self.tags[job], self.runs[job] = said.get("tag", ""), said["run"]
        if said.get("state"):
            self.ends[job].append((float(said["ended"]), said["state"]))

    # ------------------------------------------------------------------ what follows from it
    def ended(self, jobs: list[str]) -> list[float]:
        """When each of these jobs ended first, in order of time."""
        return sorted(self.ends[job][0][0] for job in jobs if self.ends[job])

    def units_of(self, jobs: list[str]) -> list[str]:
        wanted = {self.runs[job] for job in jobs if job in self.runs}
        return [unit for unit in self.claims if unit.partition(":")[0] in wanted]


def _pairs(rest: list[bytes]) -> dict[str, str]:
    return {rest[i].decode(): rest[i + 1].decode("utf8", "replace") for i in range(0, len(rest) - 1, 2)}
