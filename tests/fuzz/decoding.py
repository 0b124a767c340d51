"""Damaged documents through the real decoding child, good ones between them; every answer is checked.

What must hold of each case: an answer or one of the document's own errors, within the caps; never an unknown error (`internal`). What must
hold of good documents, which come every so often and are each a picture of their own: exactly their pixels. What must hold of damaged ones
that can still be read: the same pixels from a second child that opened quite other documents, so that nothing of a former page (memory
that was never written) is in them.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Self

import numpy as np

from ocrfarm_shared.errors import DecodeCrashed, DecodeMemory, DecodeTimeout, OcrFarmError
from ocrfarm_worker.decoding.parent import Caps, Decoder
from ocrfarm_worker.document import Limits
from ocrfarm_worker.load import load_page
from tests.fuzz.make_corpus import FOLDER, encoded, picture
from tests.fuzz.mutators import mutated

CAPS = Caps(memory_mb=1000, cpu_s=5, documents=2000)
LIMITS = Limits(max_pages=50, max_pixels=1_000_000)
GOOD_EVERY, TWICE_EVERY = 25, 8
DPI = 72


def corpus() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(FOLDER.iterdir())}


@dataclass
class Found:
    """What a run saw: outcomes by format, and what went against the rules, each with the bytes that did it."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[tuple[str, bytes]] = field(default_factory=list)
    deaths: list[tuple[str, bytes]] = field(default_factory=list)
    good: int = 0
    compared: int = 0
    starts: int = 0
    peak_mb: int = 0
    slowest_s: float = 0.0

    def count(self, kind: str, outcome: str) -> None:
        self.outcomes.setdefault(kind, Counter())[outcome] += 1

    def add(self, other: Found) -> None:
        for kind, counter in other.outcomes.items():
            self.outcomes.setdefault(kind, Counter()).update(counter)
        self.wrong += other.wrong
        self.deaths += other.deaths
        self.good += other.good
        self.compared += other.compared
        self.starts += other.starts
        self.peak_mb = max(self.peak_mb, other.peak_mb)
        self.slowest_s = max(self.slowest_s, other.slowest_s)

    @property
    def cases(self) -> int:
        return sum(sum(counter.values()) for counter in self.outcomes.values())

    def save(self, folder: Path) -> list[Path]:
        """The bytes of what went wrong or died, named by what they did."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for said, data in self.wrong + self.deaths:
            name = re.sub(r"[^a-z0-9]+", "-", said.lower())[:60]
            paths.append(folder / f"{name}-{hashlib.sha256(data).hexdigest()[:8]}")
            paths[-1].write_bytes(data)
        return paths


class Fuzz:
    """Two children: one for every case, one that some are given to a second time."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.files = corpus()
        self.found = Found()
        self._first, self._second = Decoder(CAPS), Decoder(CAPS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for decoder in (self._first, self._second):
            self._look_at_memory(decoder)
            self.found.starts += decoder.starts
            decoder.close()

    def run(self, cases: int) -> None:
        for number in range(cases):
            if number % GOOD_EVERY == 0:
                self._good(number)
            if number % 100 == 0:
                self._look_at_memory(self._first)
            self.case()

    def case(self) -> None:
        name = self.rng.choice(list(self.files))
        form = name.rpartition(".")[2]
        data = mutated(self.rng, form, self.files[name], list(self.files.values()))
        if not data:
            data = b"\0"
        number = self.rng.choice((1, 1, 1, 2, 3))
        kind = f"{form} {'plan' if self.rng.random() < 0.3 else 'page'}"
        self.found.count(kind, self.look(kind, data, number))

    def look(self, kind: str, data: bytes, number: int = 1) -> str:
        """`ok` or the code of what came; what may not be is noted in `found.wrong`."""
        begun = time.monotonic()
        try:
            if kind.endswith("plan"):
                self._first.plan(data, None, LIMITS)
                return "ok"
            page = self._first.page(data, None, number, DPI, LIMITS)
        except OcrFarmError as err:
            if err.code == "internal" or err.retryable:
                self.found.wrong.append((f"{kind} {err.code}", data))
            if isinstance(err, DecodeCrashed | DecodeMemory | DecodeTimeout):
                self.found.deaths.append((f"{kind} {err.code}", data))
            return err.code
        finally:
            self.found.slowest_s = max(self.found.slowest_s, time.monotonic() - begun)
        if self.rng.randrange(TWICE_EVERY) == 0:
            self.found.compared += 1
            other = self._second.page(data, None, number, DPI, LIMITS)
            if not np.array_equal(page.image, other.image):
                self.found.wrong.append((f"{kind} differs", data))
                return "differs"
        return "ok"

    def _good(self, number: int) -> None:
        """A picture that no other case holds comes back as itself."""
        form = self.rng.choice(("PNG", "TIFF", "BMP"))
        image = picture(seed=number)
        data = encoded(image, form)
        self.found.good += 1
        for decoder in (self._first, self._second):
            got = decoder.page(data, None, 1, DPI, LIMITS).image
            if not np.array_equal(got, np.asarray(image)[:, :, ::-1]):
                self.found.wrong.append((f"{form} another's pixels", data))
        assert np.array_equal(load_page(data, None, 1, DPI, LIMITS).image, np.asarray(image)[:, :, ::-1])

    def _look_at_memory(self, decoder: Decoder) -> None:
        """The most that the child ever had, in MB of address space, by the kernel's word."""
        if decoder.pid is None:
            return
        try:
            status = Path(f"/proc/{decoder.pid}/status").read_text()
        except OSError:
            return
        found = re.search(r"VmPeak:\s+(\d+)", status)
        if found:
            peak = int(found[1]) >> 10
            self.found.peak_mb = max(self.found.peak_mb, peak)
            if peak > CAPS.memory_mb:
                self.found.wrong.append(("memory over the cap", b""))
