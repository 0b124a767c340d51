"""What a worker process and its decoding child say to each other.

A socket of packets (SOCK_SEQPACKET): a message is one packet of JSON, none is half read; at most one file descriptor comes beside it.

    parent -> child   {"id", "do": "count" | "page", "type", "number", "dpi", "pixels"} + the document, open for reading
    child  -> parent  {"ready": [locks that hold]}                     once, at its start
    child  -> parent  {"id", "kind", "pages"}                          the answer to "count"
    child  -> parent  {"id", "height", "width"}                        a page's size: memory for it, please
    parent -> child   {"id"} + that memory                             height x width x 3 bytes, zeroed
    child  -> parent  {"id", "done": true}                             the page is written there
    parent -> child   {"id", "do": "bind", "type", "dpi", "pixels", "producer"} + the document     to a process that binds (binding.py)
    child  -> parent  {"id", "text": true}                             the text, please
    parent -> child   {"id"} + the text, for reading
    child  -> parent  {"id", "size"}                                   memory for so many bytes, please
    child  -> parent  {"id", "error", "message"}                       instead of any of these: a code of errors.py and its sentence

The child may have been taken over by what it opened: the parent believes nothing of this but what it checks, and no pickle is spoken.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

MOST_BYTES = 32 * 1024


class Garbled(Exception):
    """What came is no message."""


def send(link: socket.socket, message: dict[str, Any], fd: int | None = None) -> None:
    """Raises OSError where nobody listens any more."""
    data = json.dumps(message).encode()
    if fd is None:
        link.send(data)
    else:
        socket.send_fds(link, [data], [fd])


def receive(link: socket.socket) -> tuple[dict[str, Any], int | None] | None:
    """The next message and the descriptor beside it, which the caller closes; None where the other side has gone.

    Raises Garbled, and TimeoutError where the socket has a timeout.
    """
    data, fds, flags, _ = socket.recv_fds(link, MOST_BYTES, 1)
    if not data and not fds:
        return None
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(fds) > 1:
            raise Garbled
        message = json.loads(data)
        if not isinstance(message, dict):
            raise Garbled
    except (ValueError, RecursionError, Garbled):
        for fd in fds:
            os.close(fd)
        raise Garbled("a message that cannot be understood") from None
    return message, fds[0] if fds else None
