"""Shards, batches, real lines, scores, configuration: the parts of the training room that need no torch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("cv2")
np = pytest.importorskip("numpy")
pytest.importorskip("fontTools")  # of the extra `train`

from ocrfarm_models.training.config import Augment, load_config  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.receipts import held_out, teach_case  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.scores import Score, distance, wilson  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.shards import read, write  # noqa: E402  # after the skip where torch is missing


def made(widths: list[int]) -> list:
    generator = np.random.default_rng(1)
    return [(generator.integers(0, 256, (32, w), dtype=np.uint8), f"w{w} é") for w in widths]


def test_a_shard_comes_back_as_it_was(tmp_path: Path) -> None:
    samples = made([40, 8, 333])
    write(tmp_path / "word-00000.npz", samples)
    back = read(tmp_path / "word-00000.npz")
    assert [t for _, t in back] == [t for _, t in samples]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(back, samples, strict=True))
    assert not list(tmp_path.glob("*.tmp*"))


def test_groups_keep_the_budget_and_every_sample() -> None:
    pytest.importorskip("torch")
    from ocrfarm_models.training.batches import by_width

    samples = made([random.Random(3).randint(20, 400) for _ in range(100)] + [3000])
    groups = by_width(samples, 2048, random.Random(1))
    assert sorted(id(s) for g in groups for s in g) == sorted(id(s) for s in samples)
    for group in groups:
        widest = max(s[0].shape[1] for s in group)
        assert len(group) == 1 or -(-widest // 16) * 16 * len(group) <= 2048


def test_variations_keep_the_height_and_the_type() -> None:
    pytest.importorskip("torch")
    from ocrfarm_models.training.batches import vary

    rng, how = random.Random(1), Augment(invert=0.5, stretch=0.2, shift=2, noise=0.1)
    for _ in range(60):
        out = vary(made([50])[0][0], how, rng)
        assert out.shape[0] == 32
        assert out.dtype == np.uint8
        assert 40 <= out.shape[1] <= 60


def test_a_third_of_the_receipts_is_left_out() -> None:
    share = np.mean([held_out(f"{i:03d}") for i in range(600)])
    assert 0.27 < share < 0.40
    assert held_out("000") == held_out("000")


@pytest.mark.parametrize(
    ("label", "reading", "taught"),
    [
        ("TOTAL RM 5.00", "Total RM5.00", "Total RM 5.00"),  # the teacher knows the case, the label the spaces
        ("TOTAL 5.00", "TOTAL 6.00", "TOTAL 5.00"),  # capitals are confirmed, the label knows better what they say
        ("TOTAL DUE", "Tota1 due", None),  # small print that the teacher misread: no label is better than a wrong one
    ],
)
def test_the_case_comes_from_the_teacher(label: str, reading: str, taught: str | None) -> None:
    assert teach_case(label, reading) == taught


def test_scores() -> None:
    score = Score.of([("Hello!", "hello"), ("ﬁve", "five"), ("a b", "a  b")])
    assert (score.n, score.ci, score.exact) == (3, 1.0, pytest.approx(2 / 3))
    assert score.char == pytest.approx(1 - 2 / 13)
    assert score.char_ci == pytest.approx(1 - 1 / 13)
    assert distance("kitten", "sitting") == 3


def test_wilson_interval() -> None:
    low, high = wilson(78, 100)
    assert (round(low, 3), round(high, 3)) == (0.689, 0.85)
    assert wilson(0, 0) == (0.0, 1.0)


def test_configuration_names_what_is_wrong(tmp_path: Path) -> None:
    assert load_config("crnn-en").network == "lite"
    with pytest.raises(ValueError, match=r"no table \[crnn-xx\]"):
        load_config("crnn-xx")
    wrong = tmp_path / "c.toml"
    wrong.write_text("[m]\nalphabt = 'latin'\n")
    with pytest.raises(ValueError, match=r"not known: \['alphabt'\]"):
        load_config("m", wrong)
