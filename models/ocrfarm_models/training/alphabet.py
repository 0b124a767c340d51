"""The characters that a recogniser knows, and labels as class numbers. Class 0 is the CTC blank."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

ASCII = string.ascii_letters + string.digits + string.punctuation + " "
ACCENTED = "".join(chr(c) for c in range(0xC0, 0x100) if chr(c) not in "×÷") + "ŒœŸŠšŽžĆćČčĐđŁłŃńŚśŹźŻżĄąĘęĞğİıŞşŐőŰűẞ"
PUNCTUATION = "–—‘’‚“”„†‡•…‹›«»¿¡§¶°·©®™€£¥¢±×÷½¼¾²³¹ªºµ№"
LATIN = ASCII + ACCENTED + PUNCTUATION
CAPTCHA_V2 = "2345678bcdefgmnpwxy"


def _gb2312(first: int, last: int) -> str:
    """Return the characters of these rows of GB 2312-80 (rows 16 to 55 are level 1, by sound; 56 to 87 level 2, by radical)."""
    cells = (bytes([0xA0 + row, cell]) for row in range(first, last + 1) for cell in range(0xA1, 0xFF))
    return "".join(c.decode("gb2312", "ignore") for c in cells)


LEVEL_1, LEVEL_2 = _gb2312(16, 55), _gb2312(56, 87)  # 3,755 and 3,008 characters
CHINESE_MARKS = "，。、；：？！（）《》〈〉「」『』【】〔〕～￥〇℃→←↑↓■□●○★☆▲△◆◇√ⅠⅡⅢⅣⅤⅥ①②③④⑤⑥⑦⑧⑨⑩"
CHINESE = (
    LATIN + CHINESE_MARKS + LEVEL_1 + LEVEL_2
)  # Latin first: a model that starts from crnn-en keeps its class numbers

ALPHABETS = {"latin": LATIN, "captcha_v2": CAPTCHA_V2, "chinese": CHINESE}

# Signs that print the same and differ only in their code point: one class each.
_SAME = str.maketrans({"\u00a0": " ", "\u2010": "-", "\u2011": "-", "\u2212": "-", "\u00ad": "-", "\u2032": "'", "\u2033": '"',
                       "\ufb01": "fi", "\ufb02": "fl", "\u2022": "•", "\u00b4": "'", "\u02bc": "’", "\u3000": " ",
                       "\u30fb": "·", "\uff65": "·", "\u2027": "·", "\u2500": "—", "\u2015": "—", "\u2014": "—"})  # fmt: skip
# Full-width letters, digits and signs are their ASCII ones, wider; commas, brackets and the like are signs of their own.
_SAME |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if chr(code) not in CHINESE_MARKS}


def clean(text: str) -> str:
    """Return the label that a picture of `text` should have: NFC, one class for look-alikes, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_SAME).split())


class Alphabet:
    """Characters in class order; class 0 is the blank, character i is class i + 1."""

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = list(dict.fromkeys(characters))
        self.number = {c: i + 1 for i, c in enumerate(self.characters)}

    def __len__(self) -> int:
        """Return the number of classes, the blank included."""
        return len(self.characters) + 1

    def knows(self, text: str) -> bool:
        """Say whether each character of `text` has a class."""
        return all(c in self.number for c in text)

    def encode(self, text: str) -> list[int]:
        """Return the class numbers of `text`; a character without a class raises KeyError."""
        return [self.number[c] for c in text]

    def decode(self, indices: Iterable[int]) -> str:
        """Collapse a greedy CTC path (class numbers by time step) into text."""
        out, last = [], 0
        for i in indices:
            if i and i != last:
                out.append(self.characters[i - 1])
            last = i
        return "".join(out)


def steps_needed(text: str) -> int:
    """Return the CTC steps that `text` needs: one a character and a blank between equal neighbours."""
    return len(text) + sum(a == b for a, b in pairwise(text))
