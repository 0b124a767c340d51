"""A TCP proxy whose connections can be made half open: they stay, and nothing comes through them any more, as behind a firewall that forgot
them or a node whose cable was pulled."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class TcpProxy:
    """Listens on 127.0.0.1:`port` and forwards to 127.0.0.1:`target`. `freeze()` silences the connections there are; new ones work."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._frozen: list[threading.Event] = []
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> int:
        """How many connections are half open now."""
        frozen, self._frozen = self._frozen, []
        for silent in frozen:
            silent.set()
        return len(frozen)

    def close(self) -> None:
        for one in [self._listening, *self._sockets]:
            with contextlib.suppress(OSError):
                one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            silent = threading.Event()
            self._frozen.append(silent)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink, silent), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, silent: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if silent.is_set():
                    continue  # swallowed: the sender believes that it went out
                sink.sendall(data)
        if not silent.is_set():  # an end is passed on, unless nothing comes through
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.close()


@contextlib.contextmanager
def proxy_to(port: int) -> Iterator[TcpProxy]:
    proxy = TcpProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
