"""Every row of the table has a test, every row has a defence that was taken out once, and every patch of those still fits the product."""

from __future__ import annotations

import pytest

from tests.faults.defences import DEFENCES, ROOT, TABLE, Defence, known_results
from tests.faults.rows import ROWS, by_row


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test(row: int) -> None:
    assert by_row()[row], f'no test has the mark pytest.mark.row(n={row}): "{ROWS[row][0]}"'


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_defence_whose_test_is_the_rows(row: int) -> None:
    mine = [defence for defence in DEFENCES if defence.row == row]
    assert mine, f"nothing in defences.py shows what protects against row {row}"
    assert {defence.test for defence in mine} <= set(by_row()[row])
    results = known_results()
    for defence in mine:
        gone = results.get(defence.what, {}).get("gone", "not run yet")
        assert gone.startswith(("failed", "not run yet")), f"run `make defences ROWS={row}` again; it says: {gone}"
        assert f"| {defence.what} |" in TABLE.read_text("utf8")


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: f"{defence.row}: {defence.what}")
def test_the_patches_still_fit(defence: Defence) -> None:
    """Where the product has changed: mend the patch in defences.py so that it takes the same defence out, and run that row again."""
    for file, old, new in defence.patches:
        assert (ROOT / file).read_text("utf8").count(old) == 1, (file, old)
        assert old != new
