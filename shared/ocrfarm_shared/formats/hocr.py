"""hOCR 1.2 (http://kba.github.io/hocr-spec/1.2/): an XHTML page that carries boxes and confidences in `title` attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import atan2, degrees
from xml.etree import ElementTree as ET

from ocrfarm_shared.contracts import Line, Page
from ocrfarm_shared.formats.boxes import Box, box_around, box_of, paragraphs, words
from ocrfarm_shared.formats.xml_text import fit, unread
from ocrfarm_shared.version import version

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
<head>
<title>OCR result</title>
<meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>
<meta name="ocr-system" content="ocrfarm {version}"/>
<meta name="ocr-capabilities" content="ocr_page ocr_carea ocr_par ocr_line ocrx_word ocrp_wconf"/>
</head>
<body>
"""
# A line that leans by less than this many degrees is said to be level: boxes of upright print wobble that much.
_LEVEL = 0.5


def hocr(pages: Iterable[Page], image: str = "unknown") -> Iterator[str]:
    """Pieces of the file; `image` is the document's name, which readers of hOCR expect beside it."""
    yield _HEAD.replace("{version}", version())
    for page in pages:
        yield ET.tostring(_page(page, image), "unicode", short_empty_elements=False) + "\n"
    yield "</body>\n</html>\n"


def _page(page: Page, image: str) -> ET.Element:
    name = fit(image).replace("\\", "\\\\").replace('"', '\\"')
    title = f'image "{name}"; bbox 0 0 {page.width} {page.height}; ppageno {page.number - 1}'
    if page.dpi:
        title += f"; scan_res {page.dpi} {page.dpi}"
    sheet = ET.Element("div", {"class": "ocr_page", "id": f"page_{page.number}", "title": title})
    if page.error:
        sheet.append(unread(page.error))
    word_number = line_number = 0
    for number, lines in enumerate(paragraphs(page), 1):
        around = _bbox(box_around(box_of(line.polygon) for line in lines))
        area = ET.SubElement(
            sheet, "div", {"class": "ocr_carea", "id": f"block_{page.number}_{number}", "title": around}
        )
        par = ET.SubElement(area, "p", {"class": "ocr_par", "id": f"par_{page.number}_{number}", "title": around})
        if page.language in ("en", "zh", "ja"):
            par.set("lang", page.language)
        for line in lines:
            line_number += 1
            at = {"class": "ocr_line", "id": f"line_{page.number}_{line_number}", "title": _line_title(line)}
            row = ET.SubElement(par, "span", at)
            for word in words(line):
                word_number += 1
                title = f"{_bbox(box_of(word.polygon))}; x_wconf {round(word.confidence * 100)}"
                at = {"class": "ocrx_word", "id": f"word_{page.number}_{word_number}", "title": title}
                span = ET.SubElement(row, "span", at)
                span.text, span.tail = fit(word.text), " "
    return sheet


def _line_title(line: Line) -> str:
    title = f"{_bbox(box_of(line.polygon))}; x_wconf {round(line.confidence * 100)}"
    (x0, y0), (x1, y1) = line.polygon[:2]
    lean = degrees(atan2(y0 - y1, x1 - x0))  # counter-clockwise, as the specification has it; y grows downwards
    return title if abs(lean) < _LEVEL else f"{title}; textangle {lean:.1f}"


def _bbox(box: Box) -> str:
    return "bbox {} {} {} {}".format(*box.whole())
