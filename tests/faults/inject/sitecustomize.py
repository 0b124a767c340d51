"""Put on PYTHONPATH by fault tests: worker processes then misbehave on pages of certain widths. Nothing in the product knows of this.

Python imports `sitecustomize` at its start (docs.python.org, module site); this one waits for `ocrfarm_worker.tasks` and wraps its `read`.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import signal
import sys
import time
from types import ModuleType
from typing import Any

HANGS, DIES, RUNS_OUT_OF_MEMORY, RAISES, TAKES_TWO_SECONDS = 901, 902, 903, 904, 905


def misbehave(width: int) -> None:
    if width == HANGS:
        signal.pthread_sigmask(
            signal.SIG_BLOCK, [signal.SIGUSR1]
        )  # as a long call into C would: the soft limit is not heard
        while True:
            time.sleep(1)
    if width == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    if width == RUNS_OUT_OF_MEMORY:
        raise MemoryError
    if width == RAISES:
        raise ZeroDivisionError("a fault of the test's")
    if width == TAKES_TWO_SECONDS:
        time.sleep(2)


def wrap(tasks: ModuleType) -> None:
    from PIL import Image

    read = tasks.read

    def faulty(claimed: Any, path: Any, *rest: Any) -> Any:
        if claimed.media_type.startswith("image/"):
            with Image.open(path) as image:
                width = image.width
            misbehave(width)
        return read(claimed, path, *rest)

    tasks.read = faulty  # type: ignore[attr-defined]


class Loader(importlib.abc.Loader):
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def create_module(self, spec: Any) -> Any:
        return self.inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.inner.exec_module(module)
        wrap(module)


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "ocrfarm_worker.tasks":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader)
        return spec


sys.meta_path.insert(0, Finder())
