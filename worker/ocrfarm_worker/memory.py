"""Memory between pages: what a page needed goes back to the system before the next one comes.

A page of a few megapixels makes ONNX Runtime ask for hundreds of megabytes, and glibc keeps most of it: a process that needs
100 MB rests at 350. Trimming after each page costs a few milliseconds. Within a page the heap is kept, because
handing pages to the system and back for every tensor costs a tenth of the processor's time.
"""

from __future__ import annotations

import ctypes
from functools import cache

# malloc.h: the parameters' numbers, and values in bytes. 32 MiB is the most that glibc takes for the first.
_M_TRIM_THRESHOLD, _TRIM_THRESHOLD = -1, 1 << 30
_M_MMAP_THRESHOLD, _MMAP_THRESHOLD = -3, 32 << 20


@cache
def _glibc() -> ctypes.CDLL | None:
    """glibc, told to keep its heap while a page is read; None on a system that has another C library."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.malloc_trim.argtypes = [ctypes.c_size_t]
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)
    except (OSError, AttributeError):
        return None
    return libc


def give_back() -> None:
    """Return the memory that is not in use to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)
