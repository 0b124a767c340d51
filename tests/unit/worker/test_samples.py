"""The sample documents, read by the real models, against the text that is on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrfarm_models.engines import Engines
from ocrfarm_shared.contracts import OcrOptions
from ocrfarm_worker.load import Limits, load_page, plan
from ocrfarm_worker.pipeline import read_page

SAMPLES = Path(__file__).parents[3] / "samples"
NAMES = sorted(path.stem for path in (SAMPLES / "golden").glob("*.txt"))
LIMITS = Limits()


def text_of(name: str, engines: Engines) -> str:
    path = SAMPLES / name
    pages = [
        read_page(load_page(path, None, number, 200, LIMITS), number, OcrOptions(profile=engines.profile), engines)
        for number in plan(path, None, LIMITS).numbers
    ]
    return "\f".join(page.text for page in pages)


def golden(name: str) -> str:
    return (SAMPLES / "golden" / f"{name}.txt").read_text("utf8").removesuffix("\n")


def distance(a: str, b: str) -> int:
    """Levenshtein's."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def test_there_is_a_golden_text_for_every_sample() -> None:
    documents = {path.name for path in SAMPLES.iterdir() if path.suffix not in (".py", "")}
    assert documents == set(NAMES)
    assert len(NAMES) == 7
    assert sum((SAMPLES / name).stat().st_size for name in NAMES) < 2_000_000


@pytest.mark.parametrize("name", NAMES)
def test_accurate_reads_every_character(name: str, engines: Engines) -> None:
    assert text_of(name, engines) == golden(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_int8_is_within_a_hundredth(name: str, engines_int8: Engines) -> None:
    expected = golden(name)
    assert distance(text_of(name, engines_int8), expected) <= 0.01 * len(expected)
