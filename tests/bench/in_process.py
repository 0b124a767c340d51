"""The pipeline without a farm: the same pages by as many processes, each with its own engines; what the farm is measured against.

    python -m tests.bench.in_process --profile accurate --processes 2 --repeat 3 FILE...

Prints one JSON object: pages, wall seconds, core-seconds, peak memory. Files are handed to whichever process is free.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from pathlib import Path

from tests.bench.pages import TYPES


def _serve(profile: str, tasks: multiprocessing.Queue, done: multiprocessing.Queue) -> None:  # type: ignore[type-arg]  # a queue at run time takes no parameter
    import cv2

    cv2.setNumThreads(1)
    from ocrfarm_models.engines import Engines
    from ocrfarm_shared.contracts import Layout, OcrOptions
    from ocrfarm_shared.profiles import get_profile
    from ocrfarm_worker.load import Limits, load_page
    from ocrfarm_worker.pipeline import read_page

    engines = Engines.load(get_profile(profile))
    options = OcrOptions(profile=profile, layout=Layout.PAGE)

    def read(name: str) -> int:
        path = Path(name)
        return len(read_page(load_page(path, TYPES[path.suffix.lower()], 1, 200, Limits()), 1, options, engines).lines)

    read(tasks.get())
    done.put(None)
    lines, start = 0, time.process_time()
    while (name := tasks.get()) is not None:
        lines += read(name)
    done.put((lines, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))


def measure(files: list[str], profile: str, processes: int) -> dict[str, float]:
    """Read all files once warmed up; seconds are of the reading alone."""
    context = multiprocessing.get_context("spawn")
    tasks, done = context.Queue(), context.Queue()
    workers = [context.Process(target=_serve, args=(profile, tasks, done)) for _ in range(processes)]
    for worker in workers:
        worker.start()
        tasks.put(files[0])
    for _ in workers:
        done.get()
    start = time.monotonic()
    for name in [*files, *[None] * processes]:
        tasks.put(name)
    results = [done.get() for _ in workers]
    wall = time.monotonic() - start
    for worker in workers:
        worker.join()
    return {
        "pages": len(files), "lines": sum(r[0] for r in results), "wall_s": round(wall, 3),
        "core_s": round(sum(r[1] for r in results), 3), "peak_rss_mb": sum(r[2] for r in results),
    }  # fmt: skip


if __name__ == "__main__":
    from ocrfarm_shared.settings import prepare_worker_environment

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="accurate-int8")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    prepare_worker_environment()
    print(json.dumps(measure(arguments.files * arguments.repeat, arguments.profile, arguments.processes)))
