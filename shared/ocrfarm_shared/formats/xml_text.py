"""What may stand in an XML document."""

from __future__ import annotations

import re

# https://www.w3.org/TR/xml/#charsets: a parser refuses the document for one of these, however it is written.
_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def fit(text: str) -> str:
    """The text, with U+FFFD for each character that XML does not allow."""
    return _FORBIDDEN.sub("\ufffd", text)


def comment(text: str) -> str:
    """The text as it may stand in a comment, which knows no two hyphens in a row (https://www.w3.org/TR/xml/#sec-comments)."""
    return re.sub("-(?=-)", "- ", fit(text))
