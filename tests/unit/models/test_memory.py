"""Memory goes back to the system between pages."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import psutil
from ocrfarm_models.sessions import hold_memory, release_memory

process = psutil.Process()
hold_memory()
release_memory()
before = process.memory_info().rss
# A heap full of holes: every second block stays.
blocks = [bytearray(200_000) for _ in range(2000)]
kept = blocks[::2]
full = process.memory_info().rss
del blocks
assert process.memory_info().rss - before > 350e6
release_memory()
after = process.memory_info().rss
assert full - before > 350e6, full - before
assert after - before < 250e6, after - before
"""


def test_freed_memory_is_given_back() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=60)


LOADED = """
import psutil
from ocrfarm_models.engines import Engines
from ocrfarm_shared.profiles import default_profile, get_profile

engines = Engines.load(get_profile(default_profile()))
before = psutil.Process().memory_info().rss
engines.rest()
given_back = before - psutil.Process().memory_info().rss
assert given_back < 30e6, given_back
"""


def test_what_loading_took_is_given_back() -> None:
    """A process that waits for its first page holds no more than one that has read some."""
    subprocess.run([sys.executable, "-c", LOADED], check=True, timeout=60)
