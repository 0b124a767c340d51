"""What may stand in an XML document."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from ocrfarm_shared.contracts import Failure

# https://www.w3.org/TR/xml/#charsets: a parser refuses the document for one of these, however it is written.
_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def fit(text: str) -> str:
    """The text, with U+FFFD for each character that XML does not allow."""
    return _FORBIDDEN.sub("\ufffd", text)


def unread(why: Failure) -> ET.Element[Any]:
    """The comment that stands where a page could not be read. A comment knows no two hyphens in a row
    (https://www.w3.org/TR/xml/#sec-comments)."""
    return ET.Comment(f" could not be read: {re.sub('-(?=-)', '- ', fit(why.message))} ")
