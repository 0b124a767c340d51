"""JSON {"base64": "…", …} read as it streams: the document is decoded on its way to the spool, the other members are kept.

A JSON parser would hold the whole text, the whole string and the whole document in memory at once. Here everything but the string
of the top-level member `base64` is collected, a few kilobytes, and given to the standard parser at the end.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Collection
from typing import Any

from ocrfarm_api.spool import Spool
from ocrfarm_shared.errors import BadOption, MissingFile, TooLarge

MAX_OTHER_BYTES = 64 * 1024
MEMBERS = ("base64",)

_DROPPED = b"\t\r\n"
_BREAKS = (rb"\n", rb"\r", rb"\t")  # JSON's ways of writing the breaks of base64's lines
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BAD_BASE64 = "`base64` is not base64 (RFC 4648, section 4 or 5)."


def _unescaped(text: bytes) -> bytes:
    """Without JSON's escapes. A regular expression takes many times as long where there is nothing but escapes. Raises BadOption."""
    if rb"\\" not in text:  # no two in a row: so each begins an escape, and taking one away makes no new one
        for escape in _BREAKS:
            text = text.replace(escape, b"")
        text = text.replace(rb"\/", b"/")
    if b"\\" in text:
        raise BadOption(_BAD_BASE64)
    return text


class Base64Stream:
    """Base64 in any pieces, line breaks and the URL-safe letters allowed, a `data:…;base64,` prefix skipped; bytes go to the spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._rest = b""
        self._begun = False
        self._padded = False

    def feed(self, text: bytes) -> None:
        data = self._rest + text.translate(_URL_SAFE, _DROPPED)
        if not self._begun:
            if b"data:".startswith(data[:5]) and len(data) < 5:
                self._rest = data
                return
            if data.startswith(b"data:"):
                comma = data.find(b",")
                if comma < 0:
                    if len(data) > 1000:
                        raise BadOption(_BAD_BASE64)
                    self._rest = data
                    return
                data = data[comma + 1 :]
            self._begun = True
        whole = len(data) // 4 * 4
        self._decode(data[:whole])
        self._rest = data[whole:]

    def finish(self) -> None:
        if self._rest.startswith(b"data:"):
            raise BadOption(_BAD_BASE64)
        if self._rest:
            self._decode(self._rest + b"=" * (-len(self._rest) % 4))  # unpadded base64 is common

    def _decode(self, quads: bytes) -> None:
        if not quads:
            return
        if self._padded:  # nothing may follow the padding
            raise BadOption(_BAD_BASE64)
        self._padded = quads.endswith(b"=")
        try:
            self._spool.feed(binascii.a2b_base64(quads, strict_mode=True))
        except binascii.Error:
            raise BadOption(_BAD_BASE64) from None


class JsonBody:
    """Feed it the body in any pieces; `finish` gives the members other than `base64`.

    `members`: the names under which the document may come, one of them.

    Raises BadOption for what is no JSON object or no base64, MissingFile without `base64`, TooLarge.
    """

    def __init__(self, spool: Spool, members: Collection[str] = MEMBERS) -> None:
        self._spool = spool
        self._members = {f'"{name}"'.encode(): name for name in members}
        self._member = next(iter(members))
        self._other = bytearray()  # the text with the document's string left empty
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._key_may_follow = False  # a string that begins now is a key of the outermost object
        self._string_from = 0
        self._last_key = b""
        self._document: Base64Stream | None = None
        self._reading_document = False
        self._backslash = False

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            at = self._feed_document(data, at) if self._reading_document else self._feed_other(data, at)

    def finish(self) -> dict[str, Any]:
        """The body has ended."""
        try:
            members = json.loads(bytes(self._other))
        except (ValueError, RecursionError):
            raise BadOption("The body is not valid JSON.") from None
        if not isinstance(members, dict):
            raise BadOption('The JSON body must be an object: {"base64": "…", "profile": "…"}.')
        if self._document is None and not any(name in members for name in self._members.values()):
            raise MissingFile
        if self._document is None or members.pop(self._member, None) != "":
            raise BadOption(f"`{self._member}` must be a string, written with that very name.")
        self._document.finish()
        return members

    def _feed_document(self, data: bytes, at: int) -> int:
        """Bytes of the document's string, up to its closing quote. JSON escapes of base64's own letters are understood."""
        assert self._document is not None
        if self._backslash:
            self._backslash = False
            letter = data[at : at + 1]
            if letter == b"/":
                self._document.feed(b"/")
            elif letter not in (b"n", b"r", b"t"):
                raise BadOption(_BAD_BASE64)
            return at + 1
        end = data.find(b'"', at)  # an escaped quote is no base64 either
        if end < 0:
            end = len(data)
        text = data[at:end]
        if b"\\" in text:
            if end == len(data) and text.endswith(b"\\"):
                self._backslash = True  # what it escapes comes with the next piece
                text = text[:-1]
            text = _unescaped(text)
        self._document.feed(text)
        self._reading_document = end == len(data)
        return end  # the closing quote itself is the other text's again

    def _feed_other(self, data: bytes, at: int) -> int:
        for i in range(at, len(data)):
            byte = data[i]
            self._other.append(byte)
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif byte == 0x5C:
                    self._escaped = True
                elif byte == 0x22:
                    self._in_string = False
                    if self._key_may_follow:
                        self._last_key = bytes(self._other[self._string_from :])
                        self._key_may_follow = False
            elif byte == 0x22:
                self._in_string = True
                self._string_from = len(self._other) - 1
                if self._depth == 1 and not self._key_may_follow and self._last_key in self._members:
                    if self._document is not None:
                        raise BadOption(f"The JSON body holds `{self._member}` twice.")
                    self._member = self._members[self._last_key]
                    self._document = Base64Stream(self._spool)
                    self._reading_document = True
                    self._check_size()
                    return i + 1
            elif byte in b"{[":
                self._depth += 1
                self._key_may_follow = self._depth == 1 and byte == 0x7B
            elif byte in b"}]":
                self._depth -= 1
            elif byte == 0x2C and self._depth == 1:
                self._key_may_follow = True
                self._last_key = b""
        self._check_size()
        return len(data)

    def _check_size(self) -> None:
        if len(self._other) > MAX_OTHER_BYTES:
            raise TooLarge(f"The JSON body's members beside `base64` are longer than {MAX_OTHER_BYTES} bytes.")
