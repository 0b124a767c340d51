"""What opening documents in a process of their own costs: milliseconds a page of 2 megapixels, MB of the process at rest.

    python -m tests.bench.decoding [--pages 40]

Prints JSON. Processor time of both processes is compared, not the clock's: the machine may have other things to do.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path

import psutil
from PIL import Image

from ocrfarm_worker.decoding.parent import Decoder
from ocrfarm_worker.document import Limits
from ocrfarm_worker.load import load_page

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "receipt.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=40)
    pages = parser.parse_args().pages
    out: dict[str, float] = {}
    limits = Limits()
    with Decoder() as decoder, Image.open(SAMPLE) as sample:
        page = sample.convert("RGB").resize((1240, 1650))
        child = psutil.Process(decoder.pid if decoder.locks else None)
        for form in ("JPEG", "PDF"):
            buffer = io.BytesIO()
            page.save(buffer, form)
            data = buffer.getvalue()
            load_page(data, None, 1, 72, limits)
            decoder.page(data, None, 1, 72, limits)
            begun = time.process_time()
            for _ in range(pages):
                load_page(data, None, 1, 72, limits).image[::16].sum()
            here = time.process_time() - begun
            begun = time.process_time() + sum(child.cpu_times()[:2])
            for _ in range(pages):
                decoder.page(data, None, 1, 72, limits).image[::16].sum()
            there = time.process_time() + sum(child.cpu_times()[:2]) - begun
            out[f"{form} here, ms"] = round(here / pages * 1000, 2)
            out[f"{form} in the child, ms"] = round(there / pages * 1000, 2)
        rows = Path(f"/proc/{child.pid}/smaps_rollup").read_text().splitlines()
        out["child at rest, MB of PSS, its libraries shared with nobody"] = sum(
            int(row.split()[1]) >> 10 for row in rows if row.startswith("Pss:")
        )
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
