"""Whether an address can be listened on, found out before anything is started."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Collection
from pathlib import Path

from ocrfarm.farm import CannotStart

BACKLOG = 2048
LOOPBACK = "127.0.0.1"
_LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp writes it


def listen(host: str, port: int, what: str, setting: str) -> socket.socket:
    """A listening socket; a free port where it is 0. Raises CannotStart where it is taken, or is not ours to take.

    The supervisor keeps the gateway's: while a gateway that died is started again, connections wait in it and are not refused.
    """
    try:
        return socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
    except OSError as err:
        if err.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"Port {port} for {what} is taken; stop what listens there, or choose another with {setting}."
            ) from None
        raise CannotStart(
            f"{what} cannot listen on {host}:{port} ({err.strerror}); choose another with {setting}."
        ) from None


def claim(host: str, port: int, what: str, setting: str) -> int:
    """The port that a program is to listen on by itself. Raises CannotStart as `listen` does."""
    with listen(host, port, what, setting) as probe:
        return port_of(probe)


def held_by(port: int, pids: Collection[int]) -> bool:
    """Whether one of these processes listens on that TCP port, as the kernel tells (proc(5)); False where it does not."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for row in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]:
                fields = row.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):  # closed meanwhile
                    if str(descriptor.readlink()) in sockets:
                        return True
    return False


def port_of(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
