"""Alphabets, label checks and the folder layouts: a bad label is found before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

cv2 = pytest.importorskip("cv2")
np = pytest.importorskip("numpy")
pytest.importorskip("fontTools")  # of the extra `train`

from ocrfarm_models.training.alphabet import ALPHABETS, LATIN, Alphabet, clean, steps_needed  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.folders import LabelError, listed, load, samples, vocabulary  # noqa: E402  # after the skip where torch is missing


def picture(path: Path, width: int = 200, height: int = 50) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width), 200, np.uint8))
    return path


def test_each_class_is_there_once() -> None:
    assert len(set(LATIN)) == len(Alphabet(LATIN).characters)
    assert len(Alphabet(ALPHABETS["captcha_v2"])) == 20


def test_encode_and_decode_are_inverse() -> None:
    alphabet = Alphabet(LATIN)
    text = "Café №5 – “Größe” 12,50 €"
    path = [c for number in alphabet.encode(text) for c in (number, number, 0)]
    assert alphabet.decode(path) == text


def test_repeats_need_a_blank_between() -> None:
    assert steps_needed("abc") == 3
    assert steps_needed("aabb") == 6
    alphabet = Alphabet("ab")
    assert alphabet.decode([1, 1, 2, 2]) == "ab"
    assert alphabet.decode([1, 0, 1]) == "aa"


def test_clean_joins_look_alikes() -> None:
    assert clean("a\u00a0b  c\u2011d \ufb01n e\u0301") == "a b c-d fin é"


def test_labels_tsv(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "labels.tsv").write_text("a.png\tHello you\n")
    [(name, (line, label))] = samples(tmp_path, "labels", Alphabet(LATIN))
    assert (name, label, line.shape) == ("a.png", "Hello you", (32, 128))


def test_mjsynth_takes_the_text_from_the_name(tmp_path: Path) -> None:
    picture(tmp_path / "2697" / "6" / "466_MONIKER_49537.jpg")
    (tmp_path / "annotation_train.txt").write_text("./2697/6/466_MONIKER_49537.jpg 49537\n")
    assert [text for _, text in listed(tmp_path, "mjsynth")] == ["MONIKER"]


def test_names_layout(tmp_path: Path) -> None:
    picture(tmp_path / "226md.png")
    assert [text for _, text in listed(tmp_path, "names")] == ["226md"]


def test_a_label_that_does_not_fit_names_its_file(tmp_path: Path) -> None:
    path = picture(tmp_path / "narrow.png", width=32, height=32)  # 8 time steps
    with pytest.raises(LabelError, match=r"narrow\.png.*needs 10 time steps.*gives 8"):
        load(path, "aabbccd", Alphabet(LATIN))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png\tH中\n", r"a\.png.*does not: 中"),
        ("gone.png\tHi\n", r"gone\.png: missing"),
        ("a.png\t \n", r"a\.png: the text is empty"),
        ("a.png Hi\n", "no tab"),
    ],
)
def test_bad_rows_fail_loudly(tmp_path: Path, row: str, message: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "labels.tsv").write_text(row)
    with pytest.raises(LabelError, match=message):
        list(samples(tmp_path, "labels", Alphabet(LATIN)))


def test_bad_rows_can_be_left_out_by_choice(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "labels.tsv").write_text("gone.png\tHi\na.png\tHi\n")
    assert [name for name, _ in samples(tmp_path, "labels", Alphabet(LATIN), skip_bad=True)] == ["a.png"]


def test_vocabulary_counts_after_cleaning() -> None:
    assert vocabulary(["b\u00a0a", "a"]) == " ab"
    assert vocabulary(["ba", "a"], least=2) == "a"
