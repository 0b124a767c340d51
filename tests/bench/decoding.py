"""What opening documents in a process of their own costs: milliseconds a page of 2 megapixels, MB of the process at rest; and what it costs
to see whether one is cut short (`cut_short.py`), beside counting a PNG's rows every time.

    python -m tests.bench.decoding [--pages 40]

Prints JSON. Processor time of both processes is compared, not the clock's: the machine may have other things to do.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from PIL import Image

from ocrfarm_worker.cut_short import is_cut_short
from ocrfarm_worker.decoding.parent import Decoder
from ocrfarm_worker.document import Limits
from ocrfarm_worker.load import load_page
from ocrfarm_worker.png_rows import holds_all_rows

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "receipt.jpg"


def milliseconds(work: Callable[[], object], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        work()
    return round((time.process_time() - begun) / times * 1000, 2)


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
        for form, said in (("PNG", "PNG"), ("JPEG", "JPEG"), ("TIFF", "fax")):
            buffer = io.BytesIO()
            page.convert("1" if said == "fax" else "RGB").save(
                buffer, form, **({"compression": "group4"} if said == "fax" else {})
            )
            with Image.open(buffer) as image:
                image.load()
                out[f"{said} cut short?, ms"] = milliseconds(partial(is_cut_short, image, buffer), pages)
            if form == "PNG":
                out["PNG, rows counted, ms"] = milliseconds(partial(holds_all_rows, buffer), pages)
                out["PNG here, ms"] = milliseconds(partial(load_page, buffer.getvalue(), None, 1, 72, limits), pages)
        rows = Path(f"/proc/{child.pid}/smaps_rollup").read_text().splitlines()
        out["child at rest, MB of PSS, its libraries shared with nobody"] = sum(
            int(row.split()[1]) >> 10 for row in rows if row.startswith("Pss:")
        )
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
