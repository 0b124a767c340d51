"""What Chinese and mixed lines say: running text, words by frequency, characters in no order so that each class is seen."""

from __future__ import annotations

import gzip
import html
import logging
import random
import re
from itertools import accumulate
from pathlib import Path

from ocrfarm_models.training.alphabet import CHINESE, CHINESE_MARKS, LATIN, LEVEL_1, LEVEL_2, clean
from ocrfarm_models.training.corpus import Corpus

log = logging.getLogger(__name__)

_TAG = re.compile(r"<(script|style)[^>]*>.*?</\1>|<[^>]+>", re.S)
_ROFF = re.compile(r"^[.'].*$|\\f.|\\[-&]", re.M)
_HAN = re.compile(r"[\u4e00-\u9fff]")
_STOPS = "，。、；：？！"
_KNOWN = set(CHINESE)


def _texts(folder: Path) -> list[str]:
    """Return paragraphs of running text: help pages, handbook, manual pages; only those the alphabet can write."""
    pages: list[str] = []
    for pattern in ("libreoffice-help-zh-cn/**/*.html", "debian-reference-zh-cn/**/*.html"):
        pages += [html.unescape(_TAG.sub("\n", p.read_text("utf8", "ignore"))) for p in sorted(folder.glob(pattern))]
    for path in sorted(folder.glob("manpages-zh/**/zh_CN/**/*.gz")):
        pages.append(_ROFF.sub("", gzip.decompress(path.read_bytes()).decode("utf8", "ignore")))
    lines = dict.fromkeys(clean(line) for page in pages for line in page.splitlines())
    return [s for s in lines if len(_HAN.findall(s)) >= 4 and all(c in _KNOWN for c in s)]


def _words(folder: Path) -> tuple[list[str], list[float]]:
    """Return the words of jieba's dictionary that the alphabet can write, and their weights: roots of their counts."""
    path = next(folder.glob("python3-jieba/**/dict.txt"), None)
    if path is None:
        raise FileNotFoundError(f"no jieba dictionary under {folder}: run ocrfarm_models.training.fetch first")
    rows = [row.split(" ") for row in path.read_text("utf8").splitlines()]
    kept = [(row[0], float(row[1]) ** 0.5) for row in rows if all(c in _KNOWN for c in row[0]) and len(row[0]) <= 6]
    return [w for w, _ in kept], [n for _, n in kept]


class ChineseCorpus:
    """Draws texts. `level_2` is the share of level 2 among the characters that stand in no order."""

    def __init__(self, assets: Path, level_2: float = 0.25) -> None:
        self.latin, self.level_2 = Corpus(assets), level_2
        self.text = _texts(assets / "debian")
        self.words, weights = _words(assets / "debian")
        self.weights = list(accumulate(weights))  # as random.choices wants them
        log.info("%d Chinese paragraphs, %d words", len(self.text), len(self.words))

    def _some(self, rng: random.Random, count: int) -> str:
        """Return `count` characters in no order: level 1, level 2, now and then a mark."""
        out = []
        for _ in range(count):
            r = rng.random()
            pool = (
                CHINESE_MARKS if r < 0.03 else _STOPS if r < 0.06 else LEVEL_2 if r < 0.06 + self.level_2 else LEVEL_1
            )
            out.append(rng.choice(pool))
        return "".join(out)

    def _sentence(self, rng: random.Random, count: int) -> str:
        """Return words in no order, stops between them as in prose, about `count` characters."""
        parts: list[str] = []
        for word in rng.choices(self.words, cum_weights=self.weights, k=count // 2 + 1):
            parts.append(word)
            if rng.random() < 0.18:
                parts.append(rng.choice(_STOPS) if rng.random() < 0.9 else rng.choice(["——", "……", "·", "～"]))
        text = "".join(parts)[:count]
        if rng.random() < 0.15:
            pair = rng.choice(["《》", "“”", "（）", "「」", "【】", "〈〉", "‘’", "『』", "〔〕"])
            a = rng.randrange(len(text))
            b = rng.randint(a + 1, len(text))
            text = text[:a] + pair[0] + text[a:b] + pair[1] + text[b:]
        return text

    def _piece(self, rng: random.Random) -> str:
        """Return something Latin: a word, a number, a price, an address, a sign."""
        r = rng.random()
        if r < 0.4:
            return self.latin.case(rng, self.latin.lexical(rng))
        if r < 0.8:
            return self.latin.number(rng)
        if r < 0.9:
            return self.latin.web(rng)
        return "".join(rng.choice(LATIN[:95].strip()) for _ in range(rng.randint(1, 5)))

    def line(self, rng: random.Random, longest: int) -> str:
        """Return the text of one line of 1 to `longest` characters."""
        count = min(longest, max(2, int(rng.triangular(2, longest, longest * 0.6))))
        r = rng.random()
        if r < 0.25:
            text = rng.choice(self.text)
            start = rng.randrange(max(1, len(text) - count + 1))
            text = text[start : start + count]
        elif r < 0.50:
            text = self._sentence(rng, count)
        elif r < 0.82:
            text = self._some(rng, count)
        elif r < 0.92:  # mixed
            parts = [
                self._piece(rng) if rng.random() < 0.5 else rng.choices(self.words, cum_weights=self.weights)[0]
                for _ in range(4)
            ]
            text = rng.choice(["", " "]).join(parts)
        else:
            text = self.latin.line(rng)
        return clean(text[:longest]) or "一"
