"""How quickly the command and the library are there: a new process each time, beside one of Python alone.

    python -m tests.bench.start [--times 40]

Prints JSON: for each, the clock's milliseconds (median, least) and the processor's (least), from the start of a process to its end. The
three take turns, so that a busy machine slows all of them. Beside other work the clock's time is mostly waiting: read the processor's, or
start it with `chrt -r 1`, which other work does not interrupt.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

COMMAND = Path(sys.executable).with_name("ocrfarm")
PROGRAMS: dict[str, list[str]] = {
    "python alone": [sys.executable, "-c", "pass"],
    "import ocrfarm": [sys.executable, "-c", "import ocrfarm"],
    "ocrfarm --help": [str(COMMAND), "--help"],
}


def once(argv: list[str]) -> tuple[float, float]:
    """Milliseconds by the clock, and of the processor (user and system)."""
    begun = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{argv} left with {process.returncode}")
    return 1000 * (time.perf_counter() - begun), 1000 * (used.ru_utime + used.ru_stime)


def run(times: int) -> dict[str, dict[str, float]]:
    taken: dict[str, list[tuple[float, float]]] = {name: [once(argv)] for name, argv in PROGRAMS.items()}  # warm: files
    for name in taken:
        taken[name].clear()
    for _ in range(times):
        for name, argv in PROGRAMS.items():
            taken[name].append(once(argv))
    return {
        name: {
            "median_ms": round(median(clock for clock, _ in all_), 1),
            "least_ms": round(min(clock for clock, _ in all_), 1),
            "processor_ms": round(min(processor for _, processor in all_), 1),
            "n": len(all_),
        }
        for name, all_ in taken.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=40)
    print(json.dumps(run(parser.parse_args().times), indent=1))


if __name__ == "__main__":
    main()
