"""Rules of the house that no tool checks: who reads the environment, and which names files do not have."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("api", "worker", "shared", "models", "client")
SOURCES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
NAMELESS = {"utils", "util", "common", "base", "helpers", "misc"}


def environment_reads(tree: ast.AST) -> Iterator[int]:
    """Line numbers where `os.environ`, `os.getenv` or `from os import environ` stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv"):
            yield node.lineno
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {a.name for a in node.names} & {"environ", "getenv"}
        ):
            yield node.lineno


def test_the_check_finds_what_it_looks_for() -> None:
    told = "import os\nfrom os import environ\nos.getenv('A')\nos.environ['B']\nos.getpid()\n"
    assert sorted(environment_reads(ast.parse(told))) == [2, 3, 4]
    assert len(SOURCES) > 40


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_settings_reads_the_environment(source: Path) -> None:
    if source == ROOT / "shared" / "ocrfarm_shared" / "settings.py":
        return
    assert list(environment_reads(ast.parse(source.read_text("utf8")))) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_has_a_name_that_says_what_is_in_it(source: Path) -> None:
    assert source.stem not in NAMELESS
