"""One seed's share of a run, in a process of its own."""

from __future__ import annotations

import logging
import resource
import sys
import tempfile
from pathlib import Path

from tests.fuzz.decoding import Found, Fuzz
from tests.fuzz.uploading import Uploads


def run(seed: int, cases: int) -> tuple[Found, Found, int]:
    """What was found of documents and of requests, and by how many MB this process grew beyond its first thousand cases."""
    logging.disable(logging.CRITICAL)  # the form parser's word on every broken form
    share = cases * 3 // 4
    with Fuzz(seed) as fuzz:
        fuzz.run(min(1000, share))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        while fuzz.found.cases < share:
            fuzz.run(min(2500, share - fuzz.found.cases))
            print(
                f"seed {seed}: {fuzz.found.cases} documents, {len(fuzz.found.wrong)} wrong", file=sys.stderr, flush=True
            )
    with tempfile.TemporaryDirectory() as folder:
        uploads = Uploads(seed, Path(folder))
        uploads.run(cases - share)
    return fuzz.found, uploads.found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
