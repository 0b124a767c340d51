"""A guess at a page's language from the letters that were read."""

from __future__ import annotations

import unicodedata


def guess_language(text: str) -> str:
    """`ja` where kana is written, `zh` where Han characters are, `en` for Latin letters alone, `und` where it cannot be told.

    A guess for showing and filtering, by Unicode names; it does not tell the languages that share the Latin letters apart.
    """
    kana = han = latin = other = 0
    for char in text:
        if not char.isalpha():
            continue
        name = unicodedata.name(char, "")
        if name.startswith(("HIRAGANA", "KATAKANA")):
            kana += 1
        elif name.startswith("CJK"):
            han += 1
        elif name.startswith("LATIN"):
            latin += 1
        else:
            other += 1
    # A Han character says about as much as two Latin letters.
    if 20 * kana >= kana + han and kana and 2 * (kana + han) >= latin + other:
        return "ja"
    if han and 2 * han >= latin + other:
        return "zh"
    return "en" if latin and latin >= other else "und"
