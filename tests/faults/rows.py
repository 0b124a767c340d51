"""The failures that this suite causes, by row, and the tests that cause them: `python -m tests.faults.rows` lists them.

A test names its row with `@pytest.mark.row(n=7)`; `pytest tests/faults -m "row(n=7)"` runs the tests of a row.
"""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]

ROWS = {
    1: ("worker stopped, message published, worker killed (the BRPOP window)", "the job ends, by the dispatcher"),
    2: ("kill -9 of the worker's whole process group in mid-page", "running elsewhere in under 30 s; one result"),
    3: ("Redis killed in mid-page, restarted from its AOF, three times", "accepted == ended"),
    4: ("the connection cut (CLIENT KILL) in mid-page", "the page may run twice; one result is recorded"),
    5: ("a page that hangs, with a Redis restart in between", "dies on time, reported as a timeout"),
    6: ("a page that kills its process every time", "at most N attempts, dead letter with the cause, neighbours finish"),
    7: ("a half-open TCP connection", "consuming again within 60 s"),
    8: ("a worker with its clock an hour off", "refuses to start, says why"),
    9: ("gateway killed between each two steps of submit", "the job ends, or was never accepted; no orphan blob stays"),
    10: ("Redis full, disk full", "503 + Retry-After, no half-made job, recovers by itself"),
    11: ("500 identical uploads at once", "one inference, 500 same answers"),
    12: ("a stale worker wakes (SIGSTOP past its lease, SIGCONT)", "its write is refused"),
    13: ("rolling restart (SIGTERM) with jobs queued", "none lost"),
    14: ("the same file as another tenant; another tenant's id", "no hit; 404"),
    15: ("a truncated image after a good one", "a clear error, never the former image's text"),
    16: ("bombs: 400 megapixels in 50 KB, a page of 200,000 points, 100,000 pages, reference loops, a zip bomb in a batch",
         "a clear error each, worker alive, memory under its cap"),
    17: ("a chunked upload with no Content-Length over the limit", "413 while it streams"),
    18: ("cancel and deadline in mid-document", "the worker is free within a page, cancelled / failed(deadline)"),
}  # fmt: skip


def by_row() -> dict[int, list[str]]:
    """Row -> node ids of its tests, by the marks in this folder's sources (nothing is imported)."""
    found: dict[int, list[str]] = {row: [] for row in ROWS}
    for file in sorted(FOLDER.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for row in _rows(node.decorator_list):
                    found[row].append(f"{file.relative_to(ROOT)}::{node.name}")
    return found


def _rows(decorators: list[ast.expr]) -> list[int]:
    return [
        int(ast.literal_eval(word.value))
        for call in decorators
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.row"
        for word in call.keywords
        if word.arg == "n"
    ]


def main() -> None:
    for row, tests in by_row().items():
        failure, holds = ROWS[row]
        print(f"{row:2}  {failure}\n    must hold: {holds}")
        print("\n".join(f"    {test}" for test in tests) or "    NO TEST")


if __name__ == "__main__":
    main()
