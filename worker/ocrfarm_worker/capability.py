"""What this node can do: its processor and memory, the profiles that it can read, and how quickly it reads generated lines.

A node takes units of those profiles alone whose models are all on it, and which OCRFARM_PROFILES does not leave out. Found out once, by the
pool's parent before its processes are forked; the benchmark is each process's own.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrfarm_models import registry
from ocrfarm_shared.errors import ModelUnavailable, UnknownProfile
from ocrfarm_shared.profiles import default_profile, get_profile, model_versions, profiles
from ocrfarm_shared.settings import Settings
from ocrfarm_shared.version import commit, version

if TYPE_CHECKING:
    from ocrfarm_models.recognizer import Recognizer

_LINES = 8
_LONGEST_S = 0.4  # of the benchmark
_GROUP_MEMORY = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Capability:
    """Of a node, as each of its processes tells it. `reads`: profiles; `models`: versions of all their models by registry id;
    `benchmark_model` read generated lines at `lines_per_s`, in one process."""

    cores: int
    memory_mb: int
    reads: tuple[str, ...]
    models: dict[str, str]
    version: str
    commit: str
    benchmark_model: str = ""
    lines_per_s: float = 0.0

    def told(self) -> dict[str, Any]:
        """For the process's record."""
        bench = {"model": self.benchmark_model, "lines_per_s": self.lines_per_s} if self.benchmark_model else None
        return {
            "version": self.version,
            "commit": self.commit,
            "cores": self.cores,
            "memory_mb": self.memory_mb,
            "reads": list(self.reads),
            "models": self.models,
            "benchmark": bench,
        }

    def measured(self, recognizer: Recognizer) -> Capability:
        """The same with the benchmark of this process."""
        return replace(self, benchmark_model=recognizer.spec.id, lines_per_s=round(lines_per_s(recognizer), 1))


@cache
def capability(settings: Settings) -> Capability:
    """Of this node. Raises UnknownProfile where OCRFARM_PROFILES names what is no profile, ModelUnavailable where it names one whose models
    are not here, or where there is none at all."""
    reads = readable(settings)
    models = {model: known for name in reads for model, known in model_versions(get_profile(name)).items()}
    return Capability(
        cores=len(os.sched_getaffinity(0)),
        memory_mb=memory_mb(),
        reads=tuple(reads),
        models=models,
        version=version(),
        commit=settings.commit or commit(),
    )


def readable(settings: Settings) -> list[str]:
    """The profiles that this node reads, in the order of profiles.toml. Raises as `capability`."""
    named = [name.strip() for name in settings.profiles.split(",") if name.strip()]
    for name in named:
        _resolve(name)
    if named:
        return [name for name in profiles() if name in named]
    out, trouble = [], None
    for name in profiles():
        try:
            _resolve(name)
            out.append(name)
        except (ModelUnavailable, UnknownProfile) as err:
            trouble = trouble or err
    if not out and trouble:
        raise trouble
    return out


def _resolve(name: str) -> None:
    for model in get_profile(name).models:
        _find(model)


@cache
def _find(model: str) -> None:
    """Its file is here, whole; looked at once, for several profiles share it. Raises ModelUnavailable."""
    registry.resolve(model)


def preloaded(settings: Settings, reads: list[str]) -> list[str]:
    """The profiles to load at the start: those that OCRFARM_PRELOAD names, by default the default one; of them those that
    OCRFARM_PROFILES does not leave out, and where that leaves none, the first that this node reads.

    Raises UnknownProfile, and ModelUnavailable where a model of one of them is not here: a node that cannot read what everybody asks for
    says so when it starts, not when the first page waits.
    """
    wanted = [name.strip() for name in settings.preload.split(",") if name.strip()] or [default_profile()]
    if settings.profiles:
        return [name for name in wanted if name in reads] or reads[:1]
    for name in wanted:
        _resolve(name)
    return wanted


def memory_mb() -> int:
    """Of this machine, or what its container may take."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _GROUP_MEMORY:
        try:
            whole = min(whole, int(path.read_text("ascii")))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return whole >> 20


def generated_lines(count: int) -> list[NDArray[np.uint8]]:
    """Lines of digits and capitals, 48 pixels high and 480 wide, the same on every machine: uint8, (48, 480, 3)."""
    letters = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
    out = []
    for n in range(count):
        text = "".join(letters[(7 * n + 3 * k * k + k) % len(letters)] for k in range(16))
        line = np.full((48, 480, 3), 255, np.uint8)
        cv2.putText(line, text, (8, 36), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 2, cv2.LINE_AA)
        out.append(line)
    return out


def lines_per_s(recognizer: Recognizer) -> float:
    """Generated lines that it reads in a second, eight at a time: the best of a few tries within half a second, for other processes of the
    node start at the same moment."""
    lines = generated_lines(_LINES)
    end, best = time.perf_counter() + _LONGEST_S, float("inf")
    while True:
        begun = time.perf_counter()
        recognizer.read(lines)
        done = time.perf_counter()
        best = min(best, done - begun)
        if done + best > end:
            return len(lines) / best
