"""The HTTP protocol on the wire: uvicorn's, with a bound on everything of a request that is not its body.

uvicorn's httptools protocol takes headers and trailers of any length and joins them piece by piece: one connection that sends a header
without end takes memory without end, and holds up all others for seconds.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Pieces are counted as they are read, 256 KiB at most, and one may hold the end of a request and the beginning of the next.
MOST_BESIDE_BODY = 512 * 1024
_CHUNK_OVERHEAD = 9  # bytes on the wire for one of the body, where a chunked body comes a byte at a time

_SENTENCE = b"The headers of this request are too long; send fewer or shorter ones.\n"
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_SENTENCE), _SENTENCE)
)


class BoundedHead(HttpToolsProtocol):
    """Answers 431 and hangs up where headers or trailers do not end; an upload's own limit is the intake's."""

    _beside_body = 0
    _leaving = False

    def leave(self) -> None:
        """This gateway was told to stop: the request that is being answered, or the next to come, is this connection's last."""
        self._leaving = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._leaving:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._beside_body += len(data)
        if self._beside_body > MOST_BESIDE_BODY and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_REFUSAL)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._beside_body = 0

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._beside_body = max(0, self._beside_body - _CHUNK_OVERHEAD * len(body))
