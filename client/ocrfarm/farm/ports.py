"""Whether an address can be listened on, found out before anything is started."""

from __future__ import annotations

import errno
import socket

from ocrfarm.farm import CannotStart


def claim(host: str, port: int, what: str, setting: str) -> int:
    """The port, or a free one where it is 0. Raises CannotStart where it is taken, or is not ours to take."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the servers do: a closed connection's rest is no hindrance
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as err:
            if err.errno == errno.EADDRINUSE:
                raise CannotStart(
                    f"Port {port} for {what} is taken; stop what listens there, or choose another with {setting}."
                ) from None
            raise CannotStart(
                f"{what} cannot listen on {host}:{port} ({err.strerror}); choose another with {setting}."
            ) from None
        chosen: int = probe.getsockname()[1]
        return chosen
