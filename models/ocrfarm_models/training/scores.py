"""Scores of readings against labels: character accuracy, exact match, the scene-text convention, Wilson intervals."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass


def norm(text: str) -> str:
    """NFKC, white space collapsed."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip()


def letters(text: str) -> str:
    """Casefolded letters and digits only: what scene-text benchmarks compare."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def distance(a: str, b: str) -> int:
    """Levenshtein distance in characters."""
    row = list(range(len(b) + 1))
    for i, ca in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, cb in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (ca != cb))
    return row[-1]


def wilson(hits: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95% Wilson interval of a share of `n` (Wilson, 1927)."""
    if not n:
        return 0.0, 1.0
    p, z2 = hits / n, z * z
    middle, half = (p + z2 / (2 * n)) / (1 + z2 / n), z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Score:
    """What a set scored: n lines; ci and exact are shares of lines, char and char_ci are 1 - edits / label length."""

    n: int
    ci: float
    exact: float
    char: float
    char_ci: float

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Score:
        """Score (label, reading) pairs."""
        n = ci = exact = edits = edits_ci = length = 0
        for label, reading in pairs:
            want, got = norm(label), norm(reading)
            n += 1
            ci += letters(label) == letters(reading) if letters(label) else want == got
            exact += want == got
            edits += distance(got, want)
            edits_ci += distance(got.casefold(), want.casefold())
            length += len(want)
        n_or_1, length = max(n, 1), max(length, 1)
        return cls(n, ci / n_or_1, exact / n_or_1, max(0.0, 1 - edits / length), max(0.0, 1 - edits_ci / length))
