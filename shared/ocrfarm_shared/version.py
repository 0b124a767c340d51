"""What is running: the distribution's version and, where it can be told, the commit."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path


@cache
def version() -> str:
    """The installed distribution's version; `0+unknown` where it is run from a folder that was never installed."""
    try:
        return installed("ocrfarm")
    except PackageNotFoundError:
        return "0+unknown"


@cache
def _checkout_commit() -> str:
    here = Path(__file__).resolve().parent
    if not (
        here.parents[1] / ".git"
    ).exists():  # an installed package must not name the commit of whatever holds the environment
        return ""
    try:
        told = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""


def commit(setting: str = "") -> str:
    """`setting` (OCRFARM_COMMIT, set by whoever builds an image) where given, else the checkout's commit, else an empty string."""
    return setting or _checkout_commit()
