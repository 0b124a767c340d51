"""Fuzz what strangers' bytes meet: the gateway's intake and the decoding child.

    python -m tests.fuzz --cases 100000 --seed 1 [--processes 2] [--write]

Three cases in four are documents, one is a request. Prints counts by kind and outcome; `--write` puts them into tests/fuzz/RESULTS.md too.
Files that broke a rule or killed a child are kept in the folder that `--keep` names. Exit code 1 where a rule was broken: an unknown
error, another's pixels or document, memory over the cap, a file left behind. A child that dies of a document is no broken rule: that
is what it is for.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import PIL
import pypdfium2

from tests.fuzz.decoding import CAPS, Found
from tests.fuzz.seeds import run

RESULTS = Path(__file__).parent / "RESULTS.md"


def table(found: Found) -> list[str]:
    codes = sorted({code for counter in found.outcomes.values() for code in counter})
    rows = [f"| kind | cases | {' | '.join(codes)} |", f"|---|{'---:|' * (len(codes) + 1)}"]
    for kind, counter in sorted(found.outcomes.items()):
        rows.append(f"| {kind} | {sum(counter.values())} | {' | '.join(str(counter[code] or '') for code in codes)} |")
    total = sum(found.outcomes.values(), Counter())
    rows.append(f"| all | {found.cases} | {' | '.join(str(total[code]) for code in codes)} |")
    return rows


def report(arguments: argparse.Namespace, documents: Found, requests: Found, grown_mb: int, wall_s: float) -> str:
    wrong = Counter(said for said, _ in documents.wrong + requests.wrong)
    deaths = Counter(said for said, _ in documents.deaths)
    return "\n".join(
        [
            "# What fuzzing found",
            "",
            f"`python -m tests.fuzz --cases {arguments.cases} --seed {arguments.seed} --processes {arguments.processes} --write`, "
            f"{wall_s:.0f} s. Pillow {PIL.__version__}, {pypdfium2.PDFIUM_INFO}, OpenCV {cv2.__version__}.",
            "",
            f"- cases: {documents.cases + requests.cases}; good ones between them: {documents.good} pictures (each read by two children), "
            f"{requests.good} requests",
            f"- damaged pages that could be read, read again by another child and compared: {documents.compared}",
            f"- broken rules (unknown error, another's pixels or document, memory over the cap, a file left): {sum(wrong.values())}"
            + "".join(f"; {said}: {n}" for said, n in sorted(wrong.items())),
            f"- children that died of a document, each replaced: {sum(deaths.values())}"
            + "".join(f"; {said}: {n}" for said, n in sorted(deaths.items())),
            f"- children started: {documents.starts} ({CAPS.documents} documents each at most); the process that reads "
            f"lost: 0, grown by {grown_mb} MB",
            f"- most address space of a child: {documents.peak_mb} MB of {CAPS.memory_mb}; slowest case {documents.slowest_s:.1f} s "
            f"(cap: {CAPS.cpu_s} s of processor time)",
            "",
            "## Documents, through the decoding child",
            "",
            *table(documents),
            "",
            "## Requests, through the intake",
            "",
            *table(requests),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="each with a seed of its own, from --seed on")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep", type=Path, default=Path(".ocrfarm/fuzz"))
    arguments = parser.parse_args()
    begun = time.monotonic()
    share = arguments.cases // arguments.processes
    work = [
        (arguments.seed + n, share + (arguments.cases % arguments.processes if n == 0 else 0))
        for n in range(arguments.processes)
    ]
    with ProcessPoolExecutor(arguments.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(run, *zip(*work, strict=True)))
    documents, requests = Found(), Found()
    for one, other, _ in parts:
        documents.add(one)
        requests.add(other)
    grown = max(part[2] for part in parts)
    text = report(arguments, documents, requests, grown, time.monotonic() - begun)
    print(text)
    for path in [*documents.save(arguments.keep), *requests.save(arguments.keep)]:
        print(f"kept {path}", file=sys.stderr)
    if arguments.write:
        RESULTS.write_text(text, "utf8")
    sys.exit(1 if documents.wrong or requests.wrong else 0)


if __name__ == "__main__":
    main()
