"""Put on PYTHONPATH by fault tests: the farm's processes then misbehave as the test asks. Nothing in the product knows of this.

Python imports `sitecustomize` at its start (docs.python.org, module site). This one does four things:

- worker processes misbehave on pages of certain widths (`misbehave`);
- `FAULTS_PATCHES`, a JSON list of [file, old text, new text], is applied to the product's sources as they are imported, the ledger's Lua
  scripts among them: so a test can take a defence out, or make an hour short;
- `FAULTS_DIE_AT` names a file; a process that comes to `die("step")` kills itself where that step is written in the file, once;
- `FAULTS_CLOCK_OFFSET_S` puts this process's clock off.
"""

from __future__ import annotations

import dataclasses
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
HANGS, DIES, RUNS_OUT_OF_MEMORY, RAISES, TAKES_TWO_SECONDS, OPENCV_RUNS_OUT = 901, 902, 903, 904, 905, 906
PATCHES: list[tuple[str, str, str]] = [tuple(patch) for patch in json.loads(os.environ.get("FAULTS_PATCHES", "[]"))]


def patched(file: str, source: str) -> str:
    """The source with every patch of this file applied. Raises LookupError for one whose place is not there, or there twice."""
    for name, old, new in PATCHES:
        if name == file:
            if source.count(old) != 1:
                raise LookupError(f"a patch of {file} fits {source.count(old)} places: {old!r}")
            source = source.replace(old, new)
    return source


def die(step: str) -> None:
    """Kill this process here, if a test has asked for it; once."""
    order = Path(os.environ.get("FAULTS_DIE_AT", "/nonexistent"))
    if order.is_file() and order.read_text() == step:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def misbehave(width: int) -> None:
    if width == HANGS:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # the soft limit is not heard, as in a long call into C
        while True:
            time.sleep(1)
    if width == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    if width == RUNS_OUT_OF_MEMORY:
        raise MemoryError
    if width == RAISES:
        raise ZeroDivisionError("a fault of the test's")
    if width == OPENCV_RUNS_OUT:
        import cv2
        import numpy as np

        cv2.copyMakeBorder(np.zeros((1, 1, 3), np.uint8), *(4 * [1_000_000]), cv2.BORDER_CONSTANT)  # 12 TB
    if width == TAKES_TWO_SECONDS:
        time.sleep(float(os.environ.get("FAULTS_SLOW_S", "2")))


def wrap_tasks(tasks: ModuleType) -> None:
    from PIL import Image

    load = tasks.load

    def faulty(claimed: Any, path: Any, *rest: Any) -> Any:
        if claimed.media_type.startswith("image/"):
            try:
                with Image.open(path) as image:
                    width = image.width
            except Exception:  # what cannot be opened is the product's to tell
                width = 0
            misbehave(width)
        return load(claimed, path, *rest)

    tasks.load = faulty  # type: ignore[attr-defined]  # put into the product on purpose


def wrap_scripts(scripts: ModuleType) -> None:
    """Lua scripts are files of their own: patched where they are put together."""
    import hashlib

    script, folder = scripts.script, "shared/ocrfarm_shared/ledger/scripts"

    def patched_script(name: str) -> Any:
        made = script(name)
        source = made.source
        for part in scripts.parts(name):
            text = (ROOT / folder / f"{part}.lua").read_text("utf8")
            source = source.replace(text, patched(f"{folder}/{part}.lua", text))
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        return dataclasses.replace(made, source=source, sha=sha)

    scripts.script = patched_script  # type: ignore[attr-defined]  # put into the product on purpose


WRAPS = {"ocrfarm_worker.tasks": wrap_tasks, "ocrfarm_shared.ledger.scripts": wrap_scripts}


class Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = Path(self.path)
        source = patched(str(path.relative_to(ROOT)), path.read_text("utf8"))
        return compile(source, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if wrap := WRAPS.get(module.__name__):
            wrap(module)


class Finder(importlib.abc.MetaPathFinder):
    files = frozenset(file for file, _, _ in PATCHES)

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if not name.startswith("ocrfarm"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader) or spec.origin is None:
            return spec
        origin = Path(spec.origin)
        mine = origin.is_relative_to(ROOT) and str(origin.relative_to(ROOT)) in self.files
        if mine or name in WRAPS:
            spec.loader = Loader(name, spec.origin)
        return spec


sys.meta_path.insert(0, Finder())

if offset := float(os.environ.get("FAULTS_CLOCK_OFFSET_S", "0")):
    now = time.time
    time.time = lambda: now() + offset
