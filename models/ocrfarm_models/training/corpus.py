"""What the generated lines say: dictionary words, running text, prices, dates, codes, addresses, rare characters."""

from __future__ import annotations

import gzip
import html
import logging
import random
import re
import string
import tomllib
from collections import Counter
from pathlib import Path

from ocrfarm_models.training.alphabet import ACCENTED, LATIN, PUNCTUATION, clean

log = logging.getLogger(__name__)

_TAG = re.compile(r"<(script|style)[^>]*>.*?</\1>|<[^>]+>", re.S)
_TWICE = re.compile(r"([fijlrt1I])\1")
_WORD = re.compile(r"[A-Za-zÀ-ÿ]+(?:['’][a-z]+)?")
_WORDS = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf8"))
_SIGN, _RECEIPT = _WORDS["signs"].split(), _WORDS["receipts"].split()


def _read_words(folder: Path, pattern: str) -> list[str]:
    words: list[str] = []
    for path in sorted(folder.glob(pattern)):
        words += [w.strip() for w in path.read_text("utf8", errors="ignore").splitlines()]
    return [w for w in words if w and all(c in LATIN for c in w)]


def _read_text(folder: Path) -> list[str]:
    """Return sentences of running text: help pages and fortune files."""
    out: list[str] = []
    for path in sorted(folder.glob("libreoffice-help-en-us/**/*.html")):
        body = html.unescape(_TAG.sub("\n", path.read_text("utf8", errors="ignore")))
        out += [s for s in (clean(line) for line in body.splitlines()) if len(s) > 12 and " " in s]
    for path in sorted(folder.glob("fortunes*/usr/share/games/fortunes/*")):
        if path.suffix not in {".dat", ".u8"} and path.is_file() and not path.is_symlink():
            out += [
                s for s in (clean(line) for line in path.read_text("utf8", errors="ignore").splitlines()) if len(s) > 12
            ]
    for path in sorted(folder.glob("**/changelog*.gz"))[:20]:
        out += [
            s
            for s in (clean(x) for x in gzip.decompress(path.read_bytes()).decode("utf8", "ignore").splitlines())
            if len(s) > 20
        ]
    return [s for s in dict.fromkeys(out) if all(c in LATIN for c in s)]


class Corpus:
    """Draws texts. One object a process; everything random comes from the generator that is handed in."""

    def __init__(self, assets: Path) -> None:
        folder = assets / "debian"
        self.english = [
            w for w in _read_words(folder, "w[ab]*/usr/share/dict/*-english") if not w.endswith("'s") and len(w) > 1
        ]
        self.foreign = _read_words(folder, "w[fisn]*/usr/share/dict/*")
        self.accented = [w for w in self.foreign if any(c in ACCENTED for c in w)]
        self.text = _read_text(folder)
        if not self.english or not self.text:
            raise FileNotFoundError(f"no words or texts under {folder}: run ocrfarm_models.training.fetch first")
        counts = Counter(w.lower() for s in self.text for w in _WORD.findall(s))
        known = {w.lower() for w in self.english}
        self.common = [w for w, n in counts.items() if n >= 3 and w in known]
        self.weights = [counts[w] ** 0.5 for w in self.common]
        log.info("%d English words, %d others, %d sentences", len(self.english), len(self.foreign), len(self.text))

    def case(self, rng: random.Random, word: str) -> str:
        """Give a word the case of signs and print."""
        r = rng.random()
        if r < 0.42:
            return word.upper() if "ß" not in word else word
        if r < 0.70:
            return word[:1].upper() + word[1:]
        if r < 0.97:
            return word.lower() if rng.random() < 0.9 else word
        return "".join(c.upper() if rng.random() < 0.5 else c for c in word)

    def lexical(self, rng: random.Random) -> str:
        """Return one dictionary word, as it is written in the dictionary."""
        r = rng.random()
        if r < 0.25:
            return rng.choices(self.common, self.weights)[0]
        if r < 0.40:
            return rng.choice(_SIGN)
        if r < 0.90:
            return rng.choice(self.english)
        return rng.choice(self.foreign if rng.random() < 0.6 else self.accented)

    def number(self, rng: random.Random) -> str:
        """Return a number, price, date, time, code or phone number."""
        r, n = rng.random(), rng.randint
        if r < 0.30:
            return str(n(0, 10 ** n(1, 4)))
        if r < 0.50:
            value = f"{n(0, 10 ** n(1, 4))}{rng.choice('..,')}{n(0, 99):02d}"
            return (
                rng.choice(["", "", "$", "£", "€", "RM", "¥", "$ ", "RM "])
                + value
                + rng.choice(["", "", "", "€", " SR", "%", "-"])
            )
        if r < 0.62:
            sep = rng.choice("/-.")
            year = n(1950, 2030) if rng.random() < 0.6 else f"{n(0, 99):02d}"
            return f"{n(1, 31):02d}{sep}{n(1, 12):02d}{sep}{year}"
        if r < 0.70:
            return f"{n(0, 23)}:{n(0, 59):02d}" + rng.choice(["", "", f":{n(0, 59):02d}", "am", "pm", " PM", " AM"])
        if r < 0.80:
            return rng.choice([f"{n(100, 999)}-{n(1000, 9999)}", f"({n(100, 999)}) {n(100, 999)}-{n(1000, 9999)}",
                               f"0{n(1, 9)}-{n(1000000, 9999999)}", f"1-800-{n(100, 999)}-{n(1000, 9999)}"])  # fmt: skip
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        if r < 0.95:
            code = "".join(rng.choice(letters if rng.random() < 0.45 else "0123456789") for _ in range(n(2, 9)))
            return code if rng.random() < 0.7 else code[:2] + rng.choice("-/.") + code[2:]
        ordinal = f"{n(1, 99)}{rng.choice(['st', 'nd', 'rd', 'th'])}"
        return rng.choice([ordinal, f"{n(1, 100)}%", f"#{n(1, 999)}", f"A{n(1, 40)}", f"No.{n(1, 99)}"])

    def web(self, rng: random.Random) -> str:
        """Return a host name or an e-mail address."""
        name = "".join(re.sub(r"[^a-z]", "", rng.choice(self.common)) for _ in range(1 + (rng.random() < 0.4)))
        end = rng.choice([".com", ".com", ".com", ".org", ".net", ".co.uk", ".de", ".fr"])
        return rng.choice(["www." + name + end, name + end, name + "@" + rng.choice(self.common) + end])

    def word(self, rng: random.Random) -> str:
        """Return the text of one word crop."""
        r = rng.random()
        if r < 0.78:
            text = self.case(rng, self.lexical(rng))
        elif r < 0.88:
            text = self.number(rng).replace(" ", "")
        elif r < 0.93:  # letters in no order: the network must read, not guess
            pool = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if rng.random() < 0.6 else "abcdefghijklmnopqrstuvwxyz"
            text = "".join(rng.choice(pool) for _ in range(rng.randint(1, 8)))
        elif r < 0.95:
            text = self.web(rng)
        else:
            text = "".join(rng.choice(LATIN) for _ in range(rng.randint(1, 6)))
        if rng.random() < 0.06:
            mark = rng.choice([".", ",", "!", "?", ":", ";", "'s", "’s", "-", "…", "™", "®", ")", "]", "&", "/"])
            text += mark
        elif rng.random() < 0.02:
            text = rng.choice(["(", '"', "“", "'", "#", "@", "*", "&", "-", "«", "¿", "¡", "["]) + text
        return clean(text) or "&"

    def glyphs(self, rng: random.Random) -> str:
        """Return one to four characters: what a network learns letters from before it can follow words."""
        length = rng.choice([1, 1, 2, 2, 3, 3, 4])
        r = rng.random()
        if r < 0.6:
            word = self.case(rng, rng.choice(self.english))
            start = rng.randrange(max(1, len(word) - length + 1))
            return word[start : start + length]
        pool = string.ascii_letters + string.digits if r < 0.9 else LATIN.replace(" ", "")
        return "".join(rng.choice(pool) for _ in range(length))

    def entry(self, rng: random.Random) -> str:
        """Return what stands in a field of a form or a cell of a table: a label, a name, a number, a date."""
        r = rng.random()
        if r < 0.35:
            text = self.number(rng)
        elif r < 0.45:
            a, b = rng.randint(1, 30), rng.randint(1, 30)
            text = rng.choice(
                [f"Page {a} of {b}", f"{a}/{b}", f"({a})", f"{a}.", f"{a} x {b}.00", f"P. {a}", f"- {a} -", f"{a}*{b}"]
            )
        else:
            words = [self.lexical(rng) for _ in range(rng.choice([1, 1, 1, 2, 2, 3]))]
            style = rng.choice([str.upper, str.upper, str.title, str.title, str.capitalize, str.lower])
            text = style(" ".join(words))
            if rng.random() < 0.45:
                text += rng.choice(
                    [
                        ":",
                        ":",
                        ":",
                        " :",
                        ".",
                        ",",
                        "?",
                        ":_",
                        " #",
                        "(s):",
                        " " + self.number(rng),
                        ": " + self.number(rng),
                    ]
                )
            if rng.random() < 0.08:
                initials = "".join(rng.choice("ABCDEFGHIJKLMNOPRSTW") + ". " for _ in range(rng.choice([1, 1, 2])))
                text = initials + text
        return clean(text)[:40].strip() or "-"

    def line(self, rng: random.Random) -> str:
        """Return the text of one short line: running text, a receipt row, a sign, a table row, rare characters."""
        if rng.random() < 0.30:
            return self.entry(rng)
        r = rng.random()
        if r < 0.50:
            words = rng.choice(self.text).split()
            # CTC needs a blank between two letters that are alike: narrow ones leave it little room, and are shown more often.
            twice = [n for n, word in enumerate(words) if _TWICE.search(word)] if rng.random() < 0.3 else []
            start = rng.choice(twice) - rng.randint(0, 3) if twice else rng.randrange(len(words))
            text = " ".join(words[max(start, 0) :][: rng.randint(2, 8)])
            if rng.random() < 0.15:
                text = text.upper()
        elif r < 0.75:
            parts = [rng.choice(_RECEIPT) if rng.random() < 0.45 else self.number(rng) if rng.random() < 0.55 else self.lexical(rng).upper()
                     for _ in range(rng.randint(2, 5))]  # fmt: skip
            text = " ".join(p + (":" if rng.random() < 0.1 else "") for p in parts)
            if rng.random() < 0.25:
                text = text.title()
        elif r < 0.88:
            words = [self.lexical(rng) for _ in range(rng.randint(2, 4))]
            style = rng.choice([str.upper, str.title, str.lower, str.capitalize])
            text = style(" ".join(words))
            if rng.random() < 0.3:
                text = rng.choice(['"{}"', "({})", "{}.", "{}!", "{}?", "“{}”", "‘{}’", "{} —", "{};", "«{}»"]).format(
                    text
                )
        else:  # every class is seen, the rare ones too
            parts = [rng.choice(self.accented) if rng.random() < 0.5 else
                     rng.choice(PUNCTUATION + "[]{}<>|\\^~`@#$%&*+=_") + (self.number(rng) if rng.random() < 0.7 else "")
                     for _ in range(rng.randint(2, 5))]  # fmt: skip
            text = " ".join(parts)
        return clean(text)[:70].strip() or "-"
