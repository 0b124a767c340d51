"""The HTTP protocol on the wire: uvicorn's, with a bound on everything of a request that is not its body, and on connections.

uvicorn's httptools protocol takes headers and trailers of any length and joins them piece by piece: one connection that sends a header
without end takes memory without end, and holds up all others for seconds. It also waits for ever for a request that does not come, or
comes a byte at a time, and accepts connections until the process has no descriptor left for anything else. And it keeps an answer for as
long as its caller takes none of it: results are megabytes, and each such caller would hold one in memory.
"""

from __future__ import annotations

import asyncio
import fcntl
import resource
import struct
import termios
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Pieces are counted as they are read, 256 KiB at most, and one may hold the end of a request and the beginning of the next.
MOST_BESIDE_BODY = 512 * 1024
_CHUNK_OVERHEAD = 9  # bytes on the wire for one of the body, where a chunked body comes a byte at a time


def _hang_up(status: str, sentence: str, headers: str = "") -> bytes:
    body = sentence.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n{headers}Connection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


_REFUSAL = _hang_up(
    "431 Request Header Fields Too Large", "The headers of this request are too long; send fewer or shorter ones.\n"
)
_SLOW = _hang_up("408 Request Timeout", "This request's headers did not come to an end in time; send it again.\n")
_FULL = _hang_up(
    "503 Service Unavailable",
    "This gateway holds as many connections as it can; try again after Retry-After seconds.\n",
    "Retry-After: 5\r\n",
)


def allow_connections() -> None:
    """Let this process hold as many descriptors as it may, and half as many connections: an upload takes a file beside its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * BoundedHead.most_connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY:
        BoundedHead.most_connections = max(16, min(BoundedHead.most_connections, (soft - 256) // 2))


class BoundedHead(HttpToolsProtocol):
    """Answers 431 and hangs up where headers or trailers do not end, 408 where they take longer than `head_s`, 503 where there are more
    than `most_connections`, and hangs up on who takes less than `slowest_bytes_s` of an answer; an upload's own limits are the intake's."""

    most_connections: ClassVar[int] = 4096
    head_s: ClassVar[float] = 30.0  # as long as a connection without a request is kept, too
    take_s: ClassVar[float] = 30.0  # how often it is looked at how much was taken
    slowest_bytes_s: ClassVar[float] = 500.0  # as of uploads

    _beside_body = 0
    _leaving = False
    _head_begun = False
    _head_timer: asyncio.TimerHandle | None = None
    _take_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.write(_FULL)
            transport.close()
            return
        self._head_timer = self.loop.call_later(self.head_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_take_timer()
        super().connection_lost(exc)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            if self._head_begun:  # a connection that a browser opened to have one needs no answer
                self.transport.write(_SLOW)
            self.transport.close()

    # ------------------------------------------------------------------ an answer that is not taken
    def pause_writing(self) -> None:
        """More waits than the transport likes to keep; nothing is added until most of it is gone."""
        super().pause_writing()
        if self._take_timer is None:
            self._look_again(self._untaken())

    def resume_writing(self) -> None:
        self._stop_take_timer()
        super().resume_writing()

    def _look_again(self, before: int) -> None:
        self._take_timer = self.loop.call_later(self.take_s, self._look_at_taking, before)

    def _look_at_taking(self, before: int) -> None:
        self._take_timer = None
        untaken = self._untaken()
        if before - untaken < self.take_s * self.slowest_bytes_s:
            self.transport.abort()
        else:
            self._look_again(untaken)

    def _untaken(self) -> int:
        """Bytes that the other side has not received yet. The kernel's own share counts: it takes megabytes at once, and then none for
        minutes from who reads slowly (tcp(7), SIOCOUTQ)."""
        there = self.transport.get_extra_info("socket")
        in_kernel = fcntl.ioctl(there.fileno(), termios.TIOCOUTQ, bytes(4)) if there is not None else bytes(4)
        return self.transport.get_write_buffer_size() + int(struct.unpack("i", in_kernel)[0])

    def _stop_take_timer(self) -> None:
        if self._take_timer is not None:
            self._take_timer.cancel()
            self._take_timer = None

    def leave(self) -> None:
        """This gateway was told to stop: the request that is being answered, or the next to come, is this connection's last."""
        self._leaving = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._head_begun = False
        super().on_headers_complete()
        if self._leaving:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._beside_body += len(data)
        between = self.cycle is None or self.cycle.response_complete
        if between and self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.head_s, self._head_is_late)
        if self._beside_body > MOST_BESIDE_BODY and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_REFUSAL)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._beside_body = 0
        self._head_begun = True

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._beside_body = max(0, self._beside_body - _CHUNK_OVERHEAD * len(body))
