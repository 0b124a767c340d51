"""Chinese lines: alphabet, texts, glyph atlases, composed lines and the places of their characters, prototypes. No torch needed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

cv2 = pytest.importorskip("cv2")
np = pytest.importorskip("numpy")
pytest.importorskip("fontTools")

from ocrfarm_models.training.alphabet import CHINESE, LEVEL_1, LEVEL_2, Alphabet, clean  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.atlas import EM, Atlas, load, save  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.chinese import ChineseCorpus  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.compose import HELD_OUT, Composer, marks  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.prototypes import cells, prototypes  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.rule import STRIDE  # noqa: E402  # after the skip where torch is missing
from ocrfarm_models.training.scores import norm  # noqa: E402  # after the skip where torch is missing

ALPHABET = Alphabet(CHINESE)
SAID = LEVEL_1[:30] + "，。0123456789ab"


def drawn(name: str, chinese: bool, characters: str = SAID, seed: int = 1) -> Atlas:
    """An atlas of made-up glyphs: each a pattern of its own, a little otherwise in each face."""
    table = np.zeros((5, len(ALPHABET)), np.int32)
    advance = np.zeros(len(ALPHABET), np.float32)
    pieces, filled = [], 0
    for char in characters:
        number = ALPHABET.number[char]
        wide = EM - 4 if number > 237 else EM // 2
        pattern = np.random.default_rng(number).integers(0, 2, (6, 6), dtype=np.uint8) * 255
        pattern[0, 0] = pattern[5, 5] = 255
        noise = np.random.default_rng(seed * 9999 + number).integers(0, 60, (EM - 6, wide), dtype=np.uint8)
        glyph = np.maximum(cv2.resize(pattern, (wide, EM - 6), interpolation=cv2.INTER_NEAREST), noise)
        table[:, number] = filled, wide, EM - 6, 2, -(EM - 8)
        advance[number] = wide + 4
        pieces.append(glyph.ravel())
        filled += glyph.size
    return Atlas(name, chinese, np.concatenate(pieces), *table, advance)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> ChineseCorpus:
    assets = tmp_path_factory.mktemp("assets")
    files = {
        "wamerican/usr/share/dict/american-english": "signal\nreader\nthousand\n",
        "wfrench/usr/share/dict/french": "été\nnaïve\n",
        "libreoffice-help-en-us/a.html": "".join(f"<p>The signal of reader {i} is a thousand.</p>" for i in range(5)),
        "libreoffice-help-zh-cn/a.html": "<style>p</style><p>阿爱安按的行高，默认为自动。</p><p>only English</p><p>龘龘龘龘字</p>",
        "python3-jieba/dict.txt": "安全 900 n\n爱好 400 n\n龘龘 5 n\n",
    }
    for name, text in files.items():
        (assets / "debian" / name).parent.mkdir(parents=True, exist_ok=True)
        (assets / "debian" / name).write_text(text, "utf8")
    return ChineseCorpus(assets)


def test_gb_2312_has_its_two_levels() -> None:
    assert (len(LEVEL_1), len(LEVEL_2)) == (3755, 3008)
    assert (LEVEL_1[0], LEVEL_1[-1], LEVEL_2[0], LEVEL_2[-1]) == ("啊", "座", "亍", "齄")
    assert len(set(CHINESE)) == len(CHINESE)


def test_full_width_letters_are_letters_and_full_width_stops_are_stops() -> None:
    assert clean("ＡＢｃ１２％，：（）\u3000中") == "ABc12%，：（） 中"


def test_texts_are_only_what_the_alphabet_can_write(corpus: ChineseCorpus) -> None:
    assert corpus.text == ["阿爱安按的行高，默认为自动。"]
    assert corpus.words == ["安全", "爱好"]
    rng = random.Random(1)
    lines = [corpus.line(rng, 12) for _ in range(300)]
    assert all(1 <= len(line) <= 12 and ALPHABET.knows(line) for line in lines)
    assert any(c in LEVEL_2 for line in lines for c in line)


def test_marks_say_each_character_once_and_a_blank_between_equal_ones() -> None:
    codes = [7, 7, 9]
    said = marks(codes, np.array([10.0, 16.0, 30.0], np.float32), 10)
    assert said is not None
    assert [int(c) for c in said if c > 0] == codes
    first, second = np.flatnonzero(said == 7)
    assert 0 in said[first + 1 : second]
    spoken = [max(int(c), 0) for c in said]  # the either-or steps as blanks, and as the character
    assert ALPHABET.decode(spoken) == ALPHABET.decode([abs(int(c)) for c in said])


def test_marks_refuse_what_does_not_fit() -> None:
    assert marks([1, 1, 1, 1], np.array([4.0, 5.0, 6.0, 7.0], np.float32), 4) is None
    assert marks([1, 2], np.array([100.0, 104.0], np.float32), 10) is None


def test_an_atlas_comes_back_as_it_was(tmp_path: Path) -> None:
    atlas = drawn("sans-a", True)
    save(atlas, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"training\.atlas"):
        load(tmp_path)
    save(drawn("latin-b", False, "0123456789ab"), tmp_path)
    back = {a.name: a for a in load(tmp_path)}
    number = ALPHABET.number["啊"]
    assert back["sans-a"].chinese
    assert not back["latin-b"].has(number)
    assert np.array_equal(back["sans-a"].glyph(number), atlas.glyph(number))


def test_a_composed_line_has_its_characters_where_it_says(corpus: ChineseCorpus) -> None:
    atlases = [drawn("sans-a", True), drawn("sans-b", True, seed=2), drawn("latin-c", False, "0123456789ab")]
    composer = Composer(atlases, corpus, ALPHABET, 5)
    text = LEVEL_1[3:9] + "，1" + LEVEL_1[12]
    for _ in range(60):
        line = composer.draw(text)
        assert line.text == text
        assert line.image.dtype == np.uint8
        assert line.image.shape[0] == 32
        assert np.all(np.diff(line.columns) > 0)
        assert line.columns[0] >= 0
        assert line.columns[-1] < line.image.shape[1]
        said = marks(ALPHABET.encode(text), line.columns, line.image.shape[1] // STRIDE)
        assert said is not None
        assert ALPHABET.decode([max(int(c), 0) for c in said]) == text


def test_the_held_out_face_is_never_trained_with(corpus: ChineseCorpus) -> None:
    atlases = [drawn("sans-a", True), drawn(f"{HELD_OUT}-0", True), drawn("latin-c", False)]
    assert [a.name for a in Composer(atlases, corpus, ALPHABET, 1).chinese] == ["sans-a"]
    assert [a.name for a in Composer(atlases, corpus, ALPHABET, 1, held_out=True).chinese] == [f"{HELD_OUT}-0"]


def test_each_prototype_is_nearest_to_itself() -> None:
    weight, bias = prototypes([drawn(f"sans-{i}", True, seed=i) for i in range(1, 6)], 32)
    known = [ALPHABET.number[c] for c in SAID]
    assert weight.shape == (len(ALPHABET), 32)
    assert not weight[0].any()
    assert bias[0] == 0
    assert norm("".join(ALPHABET.characters[int(np.argmax(weight @ weight[n] + bias)) - 1] for n in known)) == norm(
        SAID
    )
    numbers, pictures = cells(drawn("sans-new", True, seed=77))
    assert list(numbers) == sorted(known)
    assert 0 <= pictures.min() <= pictures.max() <= 1
