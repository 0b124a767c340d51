"""A TCP proxy that hangs up in the middle of answers, or on everybody."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any


class CuttingProxy:
    """Forwards to a port; of the answers, `most` bytes on each connection, then it hangs up. None: all. `shut`: it hangs up at once, on
    connections there are too once `cut` was called."""

    most: int | None = None
    shut = False

    def __init__(self, target: int) -> None:
        self.target, self.taken = target, 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def close(self) -> None:
        """Refuses connections from now on, and ends those there are."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for one in (self._listening, *(one for pair in self._pairs for one in pair)):
            one.close()

    def cut(self) -> None:
        """End the connections there are."""
        for pair in self._pairs:
            self._end(pair)

    def _run(self, target: Callable[..., None], *args: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=args))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self.taken += 1
            if self.shut:
                near.close()
                continue
            try:
                pair = (near, socket.create_connection(("127.0.0.1", self.target)))
            except OSError:  # what it forwards to is being started anew
                near.close()
                continue
            self._pairs.append(pair)
            self._run(self._pump, *pair, None)
            self._run(self._pump, *reversed(pair), self.most)

    def _pump(self, source: socket.socket, sink: socket.socket, most: int | None) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                part = data if most is None else data[: most - sent]
                sink.sendall(part)
                sent += len(part)
                if most is not None and sent >= most:
                    break
        self._end((source, sink))

    @staticmethod
    def _end(pair: tuple[socket.socket, socket.socket]) -> None:
        """Another thread may read from it: closing alone would tell the other end nothing."""
        for one in pair:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
