"""docs/reference is what the code says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
PAGES = ("settings.md", "commands.md", "http.md", "errors.md", "metrics.md", "alerts.md")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written anew, with no model but the release's."""
    folder = tmp_path_factory.mktemp("reference")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OCRFARM_")}
    subprocess.run(
        [sys.executable, FOLDER / "make.py", folder], check=True, env=kept | {"OCRFARM_STATE": str(folder / "state")}
    )
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_current(made: Path, name: str) -> None:
    assert {path.name for path in made.glob("*.md")} == set(PAGES)
    assert (FOLDER / name).read_text("utf8") == (made / name).read_text("utf8"), "the code has changed: make reference"
