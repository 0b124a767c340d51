"""What a decoding child may not do, said to the kernel before it sees the first document.

Everything is best effort, each for itself, and what holds is told to the parent: kernels and containers differ, and a farm on an old kernel
is better with some locks than with none. No lock needs a privilege.

- credentials: none are here; the environment and the descriptors that it was started with hold none.
- no_new_privs: no program that it could start has more rights than itself (prctl(2)).
- limits (setrlimit(2)): address space; no file written; few descriptors; no core dump; no new process or thread.
- nobody: started by root, it gives root up.
- Landlock (kernel 5.13 and newer; docs.kernel.org, userspace-api/landlock): no path can be opened, except fonts for reading; from 6.7
  no TCP either; from 6.12 no signal to others and no abstract Unix socket. A process under Landlock cannot trace those outside.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from pathlib import Path

NOBODY = 65534
MOST_DESCRIPTORS = 32

# Where PDFium looks for fonts that a PDF names and does not carry (its Linux font mapper).
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/X11/fonts/Type1", "/usr/share/X11/fonts/TTF")

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
_LANDLOCK_VERSION, _LANDLOCK_PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Be killed when the thread that started this process ends; leave at once if it has ended already."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def lock(memory_bytes: int) -> list[str]:
    """Give up whatever decoding does not need; the names of the locks that hold. `memory_bytes` of address space, 0: no limit."""
    held = ["nobody"] if _become_nobody() else []
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        held.append("no_new_privs")
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, MOST_DESCRIPTORS)
    held.append("limits")
    if memory_bytes:
        _limit(resource.RLIMIT_AS, memory_bytes)
        held.append("memory")
    if _landlock():
        held.append("landlock")
    return held


def allow_cpu(seconds: int) -> None:
    """From now on this process may use that much processor time, then SIGXCPU ends it. Call it before each document; 0: no limit."""
    if not seconds:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, hard))


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _become_nobody() -> bool:
    """Started by root, be user 65534 of no group, with no capability."""
    if os.getuid() != 0:
        return False
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    except OSError:  # a user namespace that has no such user
        return False
    return True


def _landlock() -> bool:
    """Forbid every path but the fonts, network and signals, as far as this kernel's Landlock knows them."""
    version = _libc.syscall(_SYS_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_LANDLOCK_VERSION))
    if version < 1:
        return False
    rights = 13 + (version >= 2) + (version >= 3) + (version >= 5)  # REFER, TRUNCATE, IOCTL_DEV came later
    network = 0b11 if version >= 4 else 0  # bind and connect, TCP
    scope = 0b11 if version >= 6 else 0  # abstract Unix sockets, signals
    ruleset = struct.pack("=QQQ", (1 << rights) - 1, network, scope)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = _libc.syscall(_SYS_LANDLOCK_CREATE, ruleset, ctypes.c_size_t(len(ruleset)), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        for folder in FONT_FOLDERS:
            _allow_reading(rules, folder)
        return bool(_libc.syscall(_SYS_LANDLOCK_RESTRICT, rules, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(rules)


def _allow_reading(rules: int, folder: str) -> None:
    if not Path(folder).is_dir():
        return
    beneath = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", _READ_FILE | _READ_DIR, beneath)
        _libc.syscall(_SYS_LANDLOCK_ADD, rules, ctypes.c_int(_LANDLOCK_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(beneath)
