"""The formats of a result: what a reader of each would find in it."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrfarm_shared.contracts import Failure, Line, Page, Word
from ocrfarm_shared.formats import TEXT_FORMATS
from ocrfarm_shared.formats.alto import NAMESPACE
from ocrfarm_shared.formats.boxes import paragraphs

XHTML = "{http://www.w3.org/1999/xhtml}"
ALTO = f"{{{NAMESPACE}}}"


def line(text: str, x: float, y: float, width: float = 0, height: float = 20, words: bool = False) -> Line:
    width = width or 10 * len(text)

    def box(left: float, right: float) -> list[tuple[float, float]]:
        return [(left, y), (right, y), (right, y + height), (left, y + height)]

    parts = text.split() if words else []
    step = width / max(1, len(parts))
    cut = [Word(text=t, confidence=0.5, polygon=box(x + n * step, x + (n + 1) * step)) for n, t in enumerate(parts)]
    return Line(text=text, confidence=0.9, polygon=box(x, x + width), words=cut, model="m")


def page(*lines: Line, number: int = 1, rotation: int = 0, error: Failure | None = None) -> Page:
    return Page.model_validate(
        {"number": number, "width": 800, "height": 1000, "rotation": rotation, "lines": lines, "error": error}
    )


def written(form: str, *pages: Page, name: str = "a.png") -> str:
    return "".join(TEXT_FORMATS[form].write(pages, name))


lines = st.lists(
    st.builds(
        line,
        st.text(min_size=1, max_size=12),
        st.floats(0, 700),
        st.floats(0, 900),
        st.floats(1, 100),
        st.floats(1, 60),
        st.booleans(),
    ),
    max_size=12,
)


@given(lines, st.sampled_from([0, 90, 180, 270]))
def test_paragraphs_hold_each_line_once_and_in_order(found: list[Line], rotation: int) -> None:
    assert [one for part in paragraphs(page(*found, rotation=rotation)) for one in part] == found


def test_a_gap_and_a_taller_print_begin_a_paragraph() -> None:
    sheet = page(
        line("Heading", 10, 10, height=40), line("one", 10, 60), line("two", 10, 82), line("after a gap", 10, 140)
    )
    assert [[one.text for one in part] for part in paragraphs(sheet)] == [["Heading"], ["one", "two"], ["after a gap"]]


@given(lines)
def test_tsv_has_a_row_for_every_word_in_order_and_no_broken_row(found: list[Line]) -> None:
    rows = list(csv.DictReader(io.StringIO(written("tsv", page(*found))), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert all(None not in row and None not in row.values() for row in rows)
    words = [row for row in rows if row["level"] == "5"]
    expected = [" ".join(w.split()) for one in found for w in ([x.text for x in one.words] or [one.text])]
    assert [row["text"] for row in words] == expected
    assert len([row for row in rows if row["level"] == "4"]) == len(found)


def test_tsv_reads_as_tesseracts() -> None:
    got = written("tsv", page(line("ab cd", 10, 20, 100, words=True))).splitlines()
    assert got[0].split("\t")[:6] == ["level", "page_num", "block_num", "par_num", "line_num", "word_num"]
    assert got[1].split("\t") == ["1", "1", "0", "0", "0", "0", "0", "0", "800", "1000", "-1", ""]
    assert got[-1].split("\t") == ["5", "1", "1", "1", "1", "2", "60", "20", "50", "20", "50.0", "cd"]


@given(lines, st.text(max_size=20))
def test_hocr_is_well_formed_whatever_was_read_and_boxes_nest(found: list[Line], name: str) -> None:
    root = ET.fromstring(written("hocr", page(*found), name=name))
    assert len(root.findall(f".//{XHTML}span[@class='ocr_line']")) == len(found)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for area in root.findall(f".//{XHTML}div[@class='ocr_carea']"):
        outer = _bbox(area)
        for row in area.findall(f".//{XHTML}span[@class='ocr_line']"):
            inner = _bbox(row)
            assert outer[0] <= inner[0] <= inner[2] <= outer[2]
            assert outer[1] <= inner[1] <= inner[3] <= outer[3]


def _bbox(element: ET.Element) -> list[int]:
    return [int(n) for n in (element.get("title") or "").split(";")[0].split()[1:5]]


def test_hocr_says_confidence_and_a_lines_lean() -> None:
    leaning = Line(text="up", confidence=0.5, polygon=[(0, 100), (100, 0), (110, 10), (10, 110)], model="m")
    got = written("hocr", page(leaning))
    assert "x_wconf 50" in got
    assert "textangle 45.0" in got


@given(lines, st.text(max_size=20))
def test_alto_is_well_formed_and_holds_every_line(found: list[Line], name: str) -> None:
    root = ET.fromstring(written("alto", page(*found), name=name))
    assert root.tag == f"{ALTO}alto"
    assert len(root.findall(f".//{ALTO}TextLine")) == len(found)
    assert all(0 <= float(s.get("WC", "-1")) <= 1 for s in root.findall(f".//{ALTO}String"))


def test_markdown_makes_a_table_of_clear_rows_and_prose_of_prose() -> None:
    sheet = page(
        line("Bill", 10, 0, 100, 40),
        line("This is a line of running text that goes on and", 10, 80, 500),
        line("ends here.", 10, 102, 100),
        *(line(f"item {n}", 10, 200 + 40 * n, 80) for n in range(3)),
    )
    sheet = page(
        *sheet.lines[:3],
        *(
            one
            for n in range(3)
            for one in (line(f"item {n}", 10, 200 + 40 * n, 80), line(f"{n}.50", 300, 200 + 40 * n, 50))
        ),
    )
    assert written("md", sheet).split("\n\n") == [
        "## Bill",
        "This is a line of running text that goes on and ends here.",
        "| item 0 | 0.50 |\n| --- | --- |\n| item 1 | 1.50 |\n| item 2 | 2.50 |\n",
    ]


@pytest.mark.parametrize(
    ("read", "expected"),
    [("# no heading", "\\# no heading"), ("- no item", "\\- no item"), ("7. no list", "7\\. no list"), ("a*b_c|d", "a\\*b\\_c\\|d"),
     ("<script>", "\\<script\\>"), ("3.14", "3.14"), ("&lt;", "\\&lt;")],
)  # fmt: skip
def test_what_markdown_would_take_for_its_own_is_escaped(read: str, expected: str) -> None:
    assert written("md", page(line(read, 0, 0))) == expected + "\n"


@pytest.mark.parametrize("form", sorted(TEXT_FORMATS))
def test_a_page_that_could_not_be_read_is_no_empty_page(form: str) -> None:
    broken = page(number=2, error=Failure(code="x", message="It was damaged --- badly."))
    whole = written(form, page(line("fine", 0, 0)), broken)
    assert "fine" in whole
    if form == "tsv":  # has no place for a sentence: its page row stands alone
        assert whole.splitlines()[-1].startswith("1\t2\t")
    else:
        assert "could not be read" in whole
