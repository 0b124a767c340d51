"""Which files of a folder a batch is made of."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ocrfarm.calls import Choices
from ocrfarm.cli.manifest import NAME
from ocrfarm.cli.submit import KINDS


@dataclass(frozen=True)
class Order:
    """What was asked for. `pattern`: of the path under the folder; None: the kinds that the farm reads.

    `again`: also what failed before.
    """

    folder: Path
    out: Path
    format: str
    pattern: str | None
    concurrency: int
    again: bool
    choices: Choices


@dataclass(frozen=True)
class Found:
    path: str
    size: int
    mtime: int


def walk(folder: Path, out: Path, pattern: str | None) -> Iterator[Found]:
    """Files under the folder, in order, a directory at a time; links to folders are not followed, and `out` is left out."""
    left = out.resolve()
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if (here / name).resolve() != left)
        for name in sorted(names):
            path = here / name
            relative = path.relative_to(folder).as_posix()
            if not (fnmatch(relative, pattern) or fnmatch(name, pattern) if pattern else path.suffix.lower() in KINDS):
                continue
            if name.startswith(NAME):
                continue
            try:
                known = path.stat()
            except OSError:
                continue  # it went while we looked
            if path.is_file():
                yield Found(relative, known.st_size, known.st_mtime_ns)


def content_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
