"""ALTO 4.4 (Library of Congress, https://www.loc.gov/standards/alto/): the XML of libraries and archives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

from ocrfarm_shared.contracts import Page, Polygon
from ocrfarm_shared.formats.boxes import Box, box_around, box_of, paragraphs, sides, words
from ocrfarm_shared.formats.xml_text import fit, unread
from ocrfarm_shared.version import version

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
_SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-4.xsd"


def alto(pages: Iterable[Page], image: str = "unknown") -> Iterator[str]:
    """Pieces of the file; units are pixels of the page as sent."""
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<alto xmlns="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{NAMESPACE} {_SCHEMA}" SCHEMAVERSION="4.4">\n'
    )
    yield ET.tostring(_description(image), "unicode") + "\n<Layout>\n"
    for page in pages:
        yield ET.tostring(_page(page), "unicode") + "\n"
    yield "</Layout>\n</alto>\n"


def _description(image: str) -> ET.Element:
    top = ET.Element("Description")
    ET.SubElement(top, "MeasurementUnit").text = "pixel"
    source = ET.SubElement(top, "sourceImageInformation")
    ET.SubElement(source, "fileName").text = fit(image)
    step = ET.SubElement(top, "Processing", {"ID": "ocr"})
    ET.SubElement(step, "processingCategory").text = "contentGeneration"
    software = ET.SubElement(step, "processingSoftware")
    ET.SubElement(software, "softwareName").text = "ocrfarm"
    ET.SubElement(software, "softwareVersion").text = version()
    return top


def _page(page: Page) -> ET.Element:
    number = page.number
    sheet = ET.Element("Page", {"ID": f"page_{number}", "PHYSICAL_IMG_NR": str(number), "WIDTH": str(page.width),
                                "HEIGHT": str(page.height)})  # fmt: skip
    if page.rotation:
        sheet.set("ROTATION", str(-page.rotation % 360))
    if page.error:
        sheet.append(unread(page.error))
        return sheet
    space = ET.SubElement(sheet, "PrintSpace", _at(Box(0, 0, page.width, page.height)))
    string_number = line_number = 0
    for block_number, lines in enumerate(paragraphs(page), 1):
        around = box_around(box_of(line.polygon) for line in lines)
        block = ET.SubElement(space, "TextBlock", {"ID": f"block_{number}_{block_number}", **_at(around)})
        for line in lines:
            line_number += 1
            row = ET.SubElement(block, "TextLine", {"ID": f"line_{number}_{line_number}", **_at(box_of(line.polygon))})
            _shape(row, line.polygon)
            for place, word in enumerate(words(line)):
                string_number += 1
                at = box_of(word.polygon)
                if place:
                    ET.SubElement(
                        row,
                        "SP",
                        {"HPOS": str(max(0, at.whole()[0])), "VPOS": str(max(0, at.whole()[1])), "WIDTH": "0"},
                    )
                ET.SubElement(row, "String", {"ID": f"string_{number}_{string_number}", **_at(at), "CONTENT": fit(word.text),
                                              "WC": f"{word.confidence:.3f}"})  # fmt: skip
    return sheet


def _at(box: Box) -> dict[str, str]:
    return {name: str(side) for name, side in zip(("HPOS", "VPOS", "WIDTH", "HEIGHT"), sides(box), strict=True)}


def _shape(row: ET.Element, polygon: Polygon) -> None:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in polygon)
    ET.SubElement(ET.SubElement(row, "Shape"), "Polygon", {"POINTS": points})
