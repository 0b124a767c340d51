"""Which release this is, and from which commit."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from ocrfarm_shared.settings import settings


@cache
def version() -> str:
    """The installed distribution's version."""
    return metadata.version("ocrfarm")


@cache
def commit() -> str:
    """OCRFARM_COMMIT (images set it), else the checkout's commit, else an empty text."""
    if settings().commit:
        return settings().commit
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
