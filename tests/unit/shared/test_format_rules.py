"""hOCR and ALTO by the rules of their specifications, whatever was read. TSV as a reader of it takes it apart."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from tests.unit.shared.test_formats import line, lines, page, written

from ocrfarm_shared.contracts import Failure, Line
from ocrfarm_shared.formats.tsv import HEADER

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parents[2] / "data" / "alto-written.xsd"))
PARSER = etree.XMLParser(load_dtd=False, no_network=True, resolve_entities=False)
XHTML = "{http://www.w3.org/1999/xhtml}"
BROKEN = Failure(code="x", message="It was -- damaged.")


@given(st.lists(lines, min_size=1, max_size=3), st.text(max_size=20), st.sampled_from([0, 90, 180, 270]))
def test_alto_is_valid(found: list[list[Line]], name: str, rotation: int) -> None:
    pages = [page(*one, number=n, rotation=rotation) for n, one in enumerate(found, 1)]
    document = etree.fromstring(
        written("alto", *pages, page(number=len(pages) + 1, error=BROKEN), name=name).encode("utf8", "replace"), PARSER
    )
    assert SCHEMA.validate(document), SCHEMA.error_log


@pytest.mark.parametrize(
    ("old", "new"),
    [('SCHEMAVERSION="4.4"', ""), ('WC="0.500"', 'WC="50"'), ("<Shape>", "<SP/><Shape>"), ('ID="line_1_1"', 'ID="page_1"'),
     ("MeasurementUnit>pixel", "MeasurementUnit>px"), ("POINTS=\"", "POINTS=\"here ")],
)  # fmt: skip
def test_the_schema_can_say_no(old: str, new: str) -> None:
    text = written("alto", page(line("two words", 10, 10, words=True)))
    assert SCHEMA.validate(etree.fromstring(text.encode(), PARSER))
    assert old in text
    broken = text.replace(old, new, 1)
    if old.startswith("SCHEMA"):
        broken = text.replace(old, 'SCHEMAVERSION="3.1"')
    assert not SCHEMA.validate(etree.fromstring(broken.encode(), PARSER))


# What stands in what (hOCR 1.2, 3 and 4), and the properties that we write, each by its grammar (5).
INSIDE = {
    "ocr_page": None,
    "ocr_carea": "ocr_page",
    "ocr_par": "ocr_carea",
    "ocr_line": "ocr_par",
    "ocrx_word": "ocr_line",
}
PROPERTIES = {
    "image": r'"(?:[^"\\]|\\.)*"',
    "bbox": r"-?\d+ -?\d+ -?\d+ -?\d+",
    "ppageno": r"\d+",
    "scan_res": r"\d+ \d+",
    "x_wconf": r"\d{1,3}",
    "textangle": r"-?\d+(\.\d+)?",
}


def properties(title: str) -> Iterator[tuple[str, str]]:
    """By the grammar of the `title` attribute: properties with a semicolon between, none of which is inside of quotes."""
    for one in re.findall(r'\s*((?:"(?:[^"\\]|\\.)*"|[^;"])+)(?:;|$)', title, re.S):
        name, _, value = one.strip().partition(" ")
        yield name, value


@given(lines, st.text(max_size=20))
def test_hocr_keeps_the_rules(found: list[Line], name: str) -> None:
    text = written("hocr", page(*found), page(number=2, error=BROKEN), name=name).encode("utf8", "replace")
    root = etree.fromstring(text, PARSER)
    meta = {m.get("name"): m.get("content") for m in root.iter(f"{XHTML}meta") if m.get("name")}
    assert meta["ocr-system"].startswith("ocrfarm ")
    used = {e.get("class") for e in root.iter() if (e.get("class") or "").startswith("ocr")}
    assert used <= set(meta["ocr-capabilities"].split())
    pages = root.findall(f".//{XHTML}div[@class='ocr_page']")
    assert [dict(properties(p.get("title")))["ppageno"] for p in pages] == ["0", "1"]
    for element in root.iter():
        kind = element.get("class") if isinstance(element.tag, str) else None
        if not kind or not kind.startswith("ocr"):
            continue
        parent = element.getparent()
        assert (parent.get("class") if INSIDE[kind] else None) == INSIDE[kind]
        told = dict(properties(element.get("title")))
        assert "bbox" in told
        for key, value in told.items():
            assert re.fullmatch(PROPERTIES[key], value, re.S), (key, value)
        x0, y0, x1, y1 = map(int, told["bbox"].split())
        assert x0 <= x1
        assert y0 <= y1
        assert int(told.get("x_wconf", "0")) <= 100


@given(lines)
def test_tsv_columns_are_numbers_where_tesseracts_are(found: list[Line]) -> None:
    rows = list(csv.DictReader(io.StringIO(written("tsv", page(*found))), delimiter="\t", quoting=csv.QUOTE_NONE))
    for row in rows:
        assert list(row) == HEADER
        assert all(re.fullmatch(r"-?\d+", row[name]) for name in HEADER[:-2])
        assert float(row["conf"]) == -1 if row["level"] != "5" else 0 <= float(row["conf"]) <= 100
        assert (row["text"] == "") or row["level"] == "5"
