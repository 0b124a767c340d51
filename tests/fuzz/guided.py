"""Coverage-guided fuzzing, by atheris (libFuzzer for Python): it keeps what reaches code that nothing reached before, and goes on from it.

    python -m tests.fuzz.guided intake|load|pdf [--seconds 60] [--runs N] [--keep FOLDER]

`intake`: a request's body through the gateway's intake and options. `load`: a document through the decoders. `pdf`: a PDF, split into
its pages and its first and last one drawn. It begins with the corpus beside this file and what was found before; documents are damaged by
the mutators that know their format (mutators.py) and by libFuzzer's own in turns. What must hold of each case stands in decoding.py and
uploading.py: an answer or an error that a caller gets, and nothing else.

The decoders run in this very process, so that coverage is seen; it is Python's (ours, Pillow's, python-multipart's), their C is not
instrumented. `python -m tests.fuzz` is the other half: without guidance, through the real decoding child, with its caps. What breaks a
rule, or crashes, is kept in --keep (`crash-…`), and the exit code is not 0.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import atheris

Target = Callable[[bytes], None]
PACKAGES = ["ocrfarm_api", "ocrfarm_worker", "PIL", "python_multipart", "pypdfium2"]
MOST_BYTES = 200_000
MEMORY_MB, CASE_S = 3000, 60  # of this process, and of one case: over it, the case is a finding


def seeds(which: str, folder: Path) -> None:
    """Write what the fuzzer begins with."""
    from tests.fuzz.make_corpus import FOLDER

    if which == "intake":
        from tests.fuzz.uploading import Uploads

        uploads = Uploads(1, folder)
        for number in range(300):
            _, content_type, body, _ = uploads._request(number % 3 == 0)
            (folder / f"{number:03d}").write_bytes((content_type or "").encode("latin-1", "replace") + b"\0" + body)
        return
    for file in (*FOLDER.iterdir(), *(FOLDER.parent / "found").iterdir()):
        if which == "load" or file.suffix == ".pdf":
            (folder / file.name).write_bytes(file.read_bytes())


def intake(folder: Path) -> Target:
    """Cases are a Content-Type, a zero byte, a body."""
    from tests.fuzz.uploading import Uploads

    uploads = Uploads(1, folder)
    uploads.threads = ThreadPoolExecutor(1)
    loop = asyncio.new_event_loop()

    def one(data: bytes) -> None:
        content_type, _, body = data.partition(b"\0")
        loop.run_until_complete(uploads.look("any", content_type.decode("latin-1") or None, body))
        left = [path.name for path in folder.iterdir()]
        assert not uploads.found.wrong, uploads.found.wrong[0][0]
        assert not left, f"left behind: {left}"

    return one


def documents(media_type: str | None) -> Target:
    """Cases are files. With a type, they are opened as such, whatever they begin with."""
    from ocrfarm_shared.errors import DocumentError
    from ocrfarm_worker.load import load_page, plan
    from tests.fuzz.decoding import DPI, LIMITS

    def one(data: bytes) -> None:
        try:
            planned = plan(data, media_type, LIMITS)
            for number in {planned.numbers[0], planned.numbers[-1]}:
                page = load_page(data, media_type, number, DPI, LIMITS)
                assert page.image.shape == (page.height, page.width, 3)
        except DocumentError:
            pass

    return one


def by_format(data: bytes, most: int, seed: int) -> bytes:
    """libFuzzer's own damage, or that of a mutator which knows the format."""
    from ocrfarm_api.kinds import kind_of
    from ocrfarm_shared.errors import UnsupportedType
    from tests.fuzz.decoding import corpus
    from tests.fuzz.mutators import mutated

    rng = Random(seed)
    try:
        form = kind_of(data[:1024]).media_type.rpartition("/")[2].replace("jpeg", "jpg")
    except UnsupportedType:
        form = ""
    if not form or rng.random() < 0.5:
        return bytes(atheris.Mutate(data, most))
    return mutated(rng, form, bytes(data), list(corpus().values()))[:most]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=("intake", "load", "pdf"))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="cases; left out: as many as the seconds allow")
    parser.add_argument("--keep", type=Path, default=Path(".ocrfarm/fuzz"))
    asked = parser.parse_args()
    asked.keep.mkdir(parents=True, exist_ok=True)
    # Not removed at the end: libFuzzer ends the process itself.
    work = Path(tempfile.mkdtemp(prefix="ocrfarm-guided-"))
    begin, grown, files = work / "begin", work / "grown", work / "files"
    for folder in (begin, grown, files):
        folder.mkdir()
    with atheris.instrument_imports(include=PACKAGES, enable_loader_override=False):
        seeds(asked.target, begin)
        target = (
            intake(files)
            if asked.target == "intake"
            else documents("application/pdf" if asked.target == "pdf" else None)
        )
    options = [
        f"-max_total_time={asked.seconds}", f"-runs={asked.runs}", f"-max_len={MOST_BYTES}", f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={CASE_S}", f"-artifact_prefix={asked.keep}/", "-print_final_stats=1", "-len_control=0",
    ]  # fmt: skip
    mutator = None if asked.target == "intake" else by_format
    atheris.Setup([sys.argv[0], *options, str(grown), str(begin)], target, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
