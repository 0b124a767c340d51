"""The fit of a certainty: made lines whose truth is known, no network."""

from __future__ import annotations

import random

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("cv2")
pytest.importorskip("torch")  # of the extra `train`

from ocrfarm_models.certainty import evidence, probability  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.ctc import LineText, Part  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.calibrate import (  # noqa: E402  # after the skip where torch is missing
    Judged,
    calibration_error,
    fit,
    table,
    words_right,
    wrong,
)


def made(count: int, seed: int) -> list[Judged]:
    rng = random.Random(seed)
    out = []
    for n in range(count):
        share = rng.random()
        line = LineText("x", 0.99, (), "m", None, evidence(share, rng.uniform(share, 1), rng.randint(1, 30), 200))
        out.append(Judged(f"kind{n % 2}", line, "x", 0 if rng.random() < share else rng.choice([1, 3]), True))
    return out


def test_what_is_fitted_means_what_it_says() -> None:
    rule, rest = fit(made(3000, 1), 3), made(3000, 2)
    said = np.array([probability(j.line.evidence, rule) for j in rest])
    right = np.array([j.right for j in rest], float)
    assert rule.version == 3
    assert rule.text > 0.5
    assert calibration_error(said, right) < 0.03 < 0.3 < calibration_error(np.full(len(rest), 0.99), right)
    assert "kind0" in table(rest, said, rule)
    assert rule.slips == pytest.approx(2, abs=0.1)


def test_what_counts_as_right() -> None:
    assert wrong("TOTAL :", "Total:") == 0
    assert wrong("S/P : MAL", "S/P:MAL") == 0
    assert wrong("a freak", "afreak") == 1
    assert wrong("2.50", "250") == 1
    assert wrong("2 50", "2.60") == 2


def test_words_are_right_in_their_place() -> None:
    said = "the Board wil meet the board"
    ends = [n for n, c in enumerate(said + " ") if c == " "]
    parts = tuple(Part(a, b, 0.5) for a, b in zip([0, *(n + 1 for n in ends)], ends, strict=False))
    line = LineText(said, 0.9, (), "m", parts=parts)
    assert words_right(line, "The board will meet the board") == [True, True, False, True, True, True]
    assert words_right(line, "board meet") == [False, True, False, True, False, False]
    assert words_right(line, "") == [False] * 6
