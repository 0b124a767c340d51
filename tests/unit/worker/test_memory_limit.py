"""A page that asks for more memory than a worker process may take ends by itself, and takes no node with it."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

BOMB_BYTES = 1_500_000_000

READ = """
import sys, pathlib
from ocrfarm_worker import app, load
app.bound_memory(int(sys.argv[2]))
print(load.load_page(pathlib.Path(sys.argv[1]), "application/pdf", 1, 72, load.Limits()).image.shape)
"""


def bomb(size: int = BOMB_BYTES) -> bytes:
    """A PDF whose page is drawn by that many blanks, a thousandth of it as sent."""
    packer = zlib.compressobj(9)
    blanks = b"".join(packer.compress(b" " * 1_000_000) for _ in range(size // 1_000_000)) + packer.flush()
    return (
        b"%%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R>>endobj\n"
        b"4 0 obj<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n"
        % (len(blanks), blanks)
        + b"trailer<</Size 5/Root 1 0 R>>\n%%EOF"
    )


def test_a_pdf_that_unpacks_without_end_is_stopped(tmp_path: Path) -> None:
    file = tmp_path / "bomb.pdf"
    file.write_bytes(bomb())
    done = subprocess.run([sys.executable, "-c", READ, str(file), "1000"], capture_output=True, text=True, timeout=200)
    assert done.returncode != 0
    assert "(100, 200, 3)" not in done.stdout


def test_zero_is_no_limit(tmp_path: Path) -> None:
    file = tmp_path / "page.pdf"
    file.write_bytes(bomb().replace(b"/Filter/FlateDecode", b"/Filter/None"))
    done = subprocess.run([sys.executable, "-c", READ, str(file), "0"], capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == "(100, 200, 3)", done.stderr
