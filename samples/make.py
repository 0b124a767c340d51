#!/usr/bin/env python3
"""Makes the sample documents in this folder, and in `golden/` the text that is on them, line by line in reading order.

    python samples/make.py            make all of them again: the same bytes each time, given the same Pillow and fonts

Needs Pillow, NumPy and Debian's fonts-liberation2, fonts-ebgaramond and fonts-noto-cjk; the fonts are not part of the project.
The texts are our own, under the project's licence. A form feed stands between the pages of a golden text.
"""

from __future__ import annotations

import io
import textwrap
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

HERE = Path(__file__).resolve().parent
LIBERATION = Path("/usr/share/fonts/truetype/liberation2")
GARAMOND = Path("/usr/share/fonts/opentype/ebgaramond")
NOTO = Path("/usr/share/fonts/opentype/noto")


def font(path: Path, size: int, index: int = 0) -> ImageFont.FreeTypeFont:
    # The plain layout engine gives the same picture with and without Raqm.
    return ImageFont.truetype(str(path), size, index=index, layout_engine=ImageFont.Layout.BASIC)


@dataclass
class Sheet:
    """White paper that text is set on from top to bottom; it remembers what was written."""

    size: tuple[int, int]
    ink: int = 20
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image = Image.new("L", self.size, 255)
        self.draw = ImageDraw.Draw(self.image)

    def write(self, x: int, y: int, text: str, face: ImageFont.FreeTypeFont, align: str = "left") -> None:
        """One line; `x` is its left, middle or right."""
        anchor = {"left": "la", "middle": "ma", "right": "ra"}[align]
        self.draw.text((x, y), text, fill=self.ink, font=face, anchor=anchor)
        self.lines.append(text)

    def paragraph(self, x: int, y: int, width: int, text: str, face: ImageFont.FreeTypeFont, leading: int) -> int:
        """Text broken at blanks into lines of at most `width` pixels; the y below its last line."""
        for line in wrap(text, face, width):
            self.write(x, y, line, face)
            y += leading
        return y


def wrap(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


# ---------------------------------------------------------------------------------------------------- the documents

LETTER = [
    "Thank you for the barometer. It arrived on Tuesday, three weeks late and in perfect order, which is more than can be "
    "said of the boat that brought it. I have hung it in the lamp room, next to the old one. The two have disagreed ever "
    "since. The old one says storm, the new one says fair, and the sea, as usual, says nothing at all.",
    "You ask whether I am lonely out here. Not in the least. In March I counted 214 ships, 3 whales and one man in a "
    "rowing boat who wanted to know if this was Denmark. I gave him soup and a chart. He kept the soup and returned the "
    "chart, with corrections.",
    "Please send with the next boat: 2 kg of coffee, 12 candles, a new wick for the small lamp, and a book that is "
    "longer than the last one. The last one had 640 pages and did not survive the fog of February.",
    "The cat sends her regards. She has learned to open the biscuit tin, so you may add a padlock to the list.",
]


def letter() -> Sheet:
    sheet = Sheet((1240, 1560))
    body, bold = font(LIBERATION / "LiberationSerif-Regular.ttf", 30), font(LIBERATION / "LiberationSerif-Bold.ttf", 36)
    small = font(LIBERATION / "LiberationSerif-Regular.ttf", 26)
    sheet.write(130, 110, "Skerry Point Lighthouse", bold)
    sheet.write(130, 160, "Outer Rocks, by way of Port Ellery", small)
    sheet.write(130, 240, "14 April 1931", body)
    sheet.write(130, 320, "Dear Mr. Pemberton,", body)
    y = 390
    for text in LETTER:
        y = sheet.paragraph(130, y, 980, text, body, 44) + 26
    sheet.write(130, y + 20, "Yours, in all weathers,", body)
    sheet.write(130, y + 110, "Agnes Thorvald", body)
    sheet.write(130, y + 154, "Keeper of the Light", small)
    return sheet


RECEIPT = [
    ("2 Flat white", "7.60"),
    ("1 Pot of Oolong", "5.20"),
    ("1 Cinnamon snail", "3.40"),
    ("1 Cheese toast, burnt", "4.10"),
    ("1 Apology for toast", "0.00"),
    ("3 Almond biscuit", "4.50"),
]


def receipt() -> Sheet:
    sheet = Sheet((620, 1010), ink=45)
    mono, big = font(LIBERATION / "LiberationMono-Regular.ttf", 26), font(LIBERATION / "LiberationMono-Bold.ttf", 38)
    bold = font(LIBERATION / "LiberationMono-Bold.ttf", 30)
    sheet.write(310, 50, "THE PAPER LANTERN", big, "middle")
    sheet.write(310, 105, "Tea, coffee & small talk", mono, "middle")
    sheet.write(310, 140, "17 Quince Lane, Harrow Bridge", mono, "middle")
    sheet.write(310, 175, "Tel. 0555 013 274", mono, "middle")
    sheet.write(50, 245, "Receipt 004417", mono)
    sheet.write(570, 245, "Table 6", mono, "right")
    sheet.write(50, 285, "2024-11-08", mono)
    sheet.write(570, 285, "16:42", mono, "right")
    y = 355
    for item, price in RECEIPT:
        sheet.write(50, y, item, mono)
        sheet.write(570, y, price, mono, "right")
        y += 44
    for item, price, face in (("Subtotal", "24.80", mono), ("Service 10%", "2.48", mono), ("TOTAL", "27.28", bold)):
        sheet.write(50, y + 26, item, face)
        sheet.write(570, y + 26, price, face, "right")
        y += 46
    sheet.write(50, y + 50, "Paid by card", mono)
    sheet.write(570, y + 50, "27.28", mono, "right")
    sheet.write(310, y + 130, "You were served by Ottilie.", mono, "middle")
    sheet.write(310, y + 170, "Thank you! Mind the step.", mono, "middle")
    return sheet


COLUMNS_TITLE = "The Slow Clock"
COLUMNS_LEAD = "News from the village of Lower Marrow, printed whenever there is enough of it"
COLUMN_ONE = [
    "The town hall clock has stopped again, this time at ten minutes past four. The council met on Monday to "
    "discuss the matter and agreed that ten past four is a pleasant hour, neither too early for cake nor too late "
    "for tea, and that there is no pressing reason to change it.",
    "Mr. Adeyemi, who has wound the clock every Friday since 1987, took a different view. He climbed the tower with "
    "a lamp and an oil can, and found that a family of jackdaws had built a nest between the third wheel and the "
    "fourth. There are five eggs in it. The clock will therefore rest until June.",
]
COLUMN_TWO = [
    "Until then the church bell is to be rung by hand. Volunteers may sign the list at the bakery. So far the list "
    "holds two names and a drawing of a horse.",
    "The bridge over the mill stream will be closed for repairs from the 3rd to the 19th of May. Walkers can use the "
    "stepping stones, which are said to be dry on most days before noon. Cyclists are asked to be brave.",
    "Found near the school: one left boot, size 41, with a potato in it. The owner of the boot may collect it from "
    "the post office. The potato has been planted.",
]


def two_columns() -> Sheet:
    sheet = Sheet((1500, 1300))
    title, lead = font(GARAMOND / "EBGaramond12-Bold.otf", 76), font(GARAMOND / "EBGaramond12-Italic.otf", 34)
    body = font(GARAMOND / "EBGaramond12-Regular.otf", 36)
    sheet.write(750, 70, COLUMNS_TITLE, title, "middle")
    sheet.write(750, 180, COLUMNS_LEAD, lead, "middle")
    sheet.draw.line((110, 250, 1390, 250), fill=90, width=3)
    for x, texts in ((110, COLUMN_ONE), (790, COLUMN_TWO)):
        y = 290
        for text in texts:
            y = sheet.paragraph(x, y, 600, text, body, 48) + 30
    return sheet


NOTICE_TITLE = "图书馆暑期开放通知"
NOTICE = [
    "各位读者：",
    "为了让大家在炎热的夏天有一个安静凉爽的去处，",
    "本馆自七月一日起延长开放时间，具体安排如下。",
    "一、周一至周五，上午八点半至晚上九点开放；",
    "二、周六和周日，上午九点至下午六点开放；",
    "三、每周三下午两点，三楼举办旧书交换活动；",
    "四、阅览室内请勿高声交谈，手机请调至静音；",
    "五、馆里的橘猫名叫“目录”，请不要喂它饼干。",
    "如有疑问，请拨打电话0555-8826或到服务台咨询。",
]
NOTICE_FOOT = ["青石镇图书馆", "2024年6月20日"]


def notice() -> Sheet:
    sheet = Sheet((1200, 1240))
    title, body = font(NOTO / "NotoSansCJK-Bold.ttc", 64, index=2), font(NOTO / "NotoSerifCJK-Regular.ttc", 38, index=2)
    sheet.write(600, 90, NOTICE_TITLE, title, "middle")
    y = 240
    for line in NOTICE:
        sheet.write(110, y, line, body)
        y += 78
    for line in NOTICE_FOOT:
        sheet.write(1090, y + 30, line, body, "right")
        y += 72
    return sheet


PANCAKES = [
    "Whisk 3 eggs with 250 ml of milk until they stop arguing. Add 200 g of flour, a pinch of salt and one spoon of "
    "sugar. Let the batter rest for 30 minutes; read something in the meantime, but nothing exciting.",
    "Melt butter in a pan over medium heat. The first pancake is always a failure and belongs to the cook. Pour in a "
    "small ladle of batter, turn the pan in a circle, and wait for the edge to turn gold.",
    "Flip it once. Do not flip it twice, whatever the children say. Serve with lemon and sugar, or with plum jam if "
    "there is any left since the events of last winter.",
]


def recipe() -> Sheet:
    sheet = Sheet((1100, 1240), ink=30)
    title, body = font(LIBERATION / "LiberationSans-Bold.ttf", 50), font(LIBERATION / "LiberationSans-Regular.ttf", 32)
    sheet.write(90, 90, "Grandmother's Pancakes", title)
    sheet.write(90, 165, "Enough for four, or for one teenager", body)
    y = 250
    for text in PANCAKES:
        y = sheet.paragraph(90, y, 920, text, body, 50) + 34
    sheet.write(90, y + 20, "Baked on 11 occasions, burnt on 2", body)
    return sheet


def photograph(paper: Image.Image) -> Image.Image:
    """A page on a wooden table: perspective, a shadow across it, warm light, slight blur and grain."""
    width, height = 1280, 1400
    source = [(0, 0), (paper.width, 0), (paper.width, paper.height), (0, paper.height)]
    target = [(118, 96), (1146, 52), (1204, 1302), (66, 1330)]
    rows = []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, u], [0, 0, 0, x, y, 1, -v * x, -v * y, v]]
    system = np.array(rows, np.float64)
    coefficients = np.linalg.solve(system[:, :8], system[:, 8])
    warped = paper.transform(
        (width, height), Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BICUBIC
    )
    mask = Image.new("L", paper.size, 255).transform(
        (width, height), Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BICUBIC
    )
    random = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    grain = np.sin(y / 9 + 3 * np.sin(x / 190)) * 6 + random.normal(0, 3, (height, width))
    table = np.clip(92 + grain, 0, 255)
    page = np.where(np.asarray(mask) > 127, np.asarray(warped, np.float32) * 0.93, table)
    light = 1.04 - 0.32 * (x / width) ** 2 - 0.12 * (y / height)
    edge = (x - 0.55 * y - 380) / 90  # the shadow of whoever holds the camera falls from the upper right
    light *= 1 - 0.38 / (1 + np.exp(-np.clip(edge, -30, 30)))
    grey = np.clip(page * light + random.normal(0, 3.5, (height, width)), 0, 255)
    warm = np.stack([grey * 1.0, grey * 0.965, grey * 0.885], axis=-1).astype(np.uint8)
    return Image.fromarray(warm, "RGB").filter(ImageFilter.GaussianBlur(0.7))


REPORT = [
    (
        "Field Notes on Urban Bees",
        [
            "Rooftop apiary, Kestrel Street 12, season of 2023",
            "The hive stands on the roof of a former button factory. In April it held about 9,000",
            "bees; by the end of June there were 41,000, and one inspector from the city who had",
            "come to measure the chimney and stayed for the honey.",
            "The bees fly mainly to the lime trees along the canal, a distance of 600 metres. On",
            "warm days they return from the chocolate factory as well. We have no proof of what",
            "they do there, but the July honey was noticeably darker.",
        ],
    ),
    (
        "Harvest",
        [
            "First extraction, 28 May: 11.4 kg of spring honey, pale, with a taste of apple blossom.",
            "Second extraction, 6 July: 17.9 kg of lime honey, greenish, with a taste of mint.",
            "Third extraction, 2 August: 6.3 kg of something brown, with a taste of cocoa.",
            "Total for the season: 35.6 kg, of which 2.1 kg were lost to visitors with spoons.",
        ],
    ),
]
REPORT_SCAN = [
    "Postscript, added by hand of typewriter",
    "On 14 September a swarm settled on the bicycle of",
    "our treasurer. She took the tram for nine days.",
    "The committee wishes to thank her, and the tram.",
    "Expenses: 18 tickets, 54.00 in all.",
]


def report() -> tuple[bytes, list[list[str]]]:
    """A PDF of three pages: two of real text in Helvetica, one that was scanned."""
    objects: list[bytes] = [b"", b""]  # the catalog and the page tree, written last

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    def stream(head: str, data: bytes) -> int:
        return add(f"<< {head} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream")

    plain = add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    bold = add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold >>")
    pages: list[int] = []
    texts: list[list[str]] = []
    for title, lines in REPORT:
        text = f"BT /B 22 Tf 72 760 Td ({title}) Tj /P 12 Tf 0 -18 Td 20 TL"
        text += "".join(f" T* ({line}) Tj" for line in lines) + " ET"
        content = stream("/Filter /FlateDecode", zlib.compress(text.encode("ascii")))
        fonts = f"<< /Font << /P {plain} 0 R /B {bold} 0 R >> >>"
        pages.append(
            add(
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources {fonts} /Contents {content} 0 R >>".encode()
            )
        )
        texts.append([title, *lines])
    scan = Sheet((1240, 700), ink=50)
    mono = font(LIBERATION / "LiberationMono-Regular.ttf", 34)
    for i, line in enumerate(REPORT_SCAN):
        scan.write(100, 90 + 80 * i, line, mono)
    tilted = scan.image.rotate(0.8, Image.Resampling.BICUBIC, fillcolor=255).filter(ImageFilter.GaussianBlur(0.6))
    picture = stream(
        "/Type /XObject /Subtype /Image /Width 1240 /Height 700 /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /DCTDecode",
        jpeg(tilted, 60),
    )
    content = stream("", b"q 595 0 0 336 0 480 cm /Scan Do Q")
    pages.append(
        add(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            f"/Resources << /XObject << /Scan {picture} 0 R >> >> /Contents {content} 0 R >>".encode()
        )
    )
    texts.append(scan.lines)
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{p} 0 R' for p in pages)}] >>".encode()
    return pdf(objects), texts


def pdf(objects: Sequence[bytes]) -> bytes:
    """Objects 1, 2, … as a PDF file with its cross-reference table (ISO 32000-1, 7.5)."""
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


MINUTES = [
    """
    Society for Lost Umbrellas
    Minutes of the 58th ordinary meeting
    Present: 14 members, 9 umbrellas
    1. The chair opened the meeting at 7.30 and asked whose dog it was.
    2. The treasurer reported a balance of 212.75 and one foreign coin.
    3. Since the last meeting 37 umbrellas were handed in, 21 of them black.
    """,
    """
    4. Eleven umbrellas were returned to their owners. Two owners wept.
    5. The motion to admit walking sticks was lost by 8 votes to 6.
    6. Mrs. Okafor showed an umbrella from 1904 with a flask in its handle.
    7. The flask was found to be full, and then to be empty.
    The meeting closed at 9.15. It was raining.
    """,
]


def minutes() -> list[Sheet]:
    sheets = []
    face = font(LIBERATION / "LiberationSerif-Regular.ttf", 46)
    for number, text in enumerate(MINUTES):
        sheet = Sheet((1654, 900))
        for i, line in enumerate(textwrap.dedent(text).strip().splitlines()):
            sheet.write(120, 90 + 110 * i, line.strip(), face)
        sheet.image = sheet.image.rotate((-0.6, 0.4)[number], Image.Resampling.BICUBIC, fillcolor=255)
        sheets.append(sheet)
    return sheets


# ---------------------------------------------------------------------------------------------------- files


def jpeg(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def crumpled(image: Image.Image) -> Image.Image:
    """Thermal paper: uneven print and a little dirt."""
    random = np.random.default_rng(3)
    faded = np.asarray(image, np.float32) + random.normal(0, 9, (image.height, image.width))
    waves = np.sin(np.arange(image.height) / 70.0)[:, None] * 7
    paper = Image.fromarray(np.clip(faded * 0.93 + waves, 0, 255).astype(np.uint8), "L")
    return ImageChops.multiply(paper, Image.new("L", image.size, 248)).filter(ImageFilter.GaussianBlur(0.5))


def golden(name: str, pages: Sequence[Sequence[str]]) -> None:
    (HERE / "golden").mkdir(exist_ok=True)
    (HERE / "golden" / f"{name}.txt").write_text("\f".join("\n".join(lines) for lines in pages) + "\n", "utf8")


def main() -> None:
    for name, sheet in (("letter", letter()), ("two-columns", two_columns()), ("notice-zh", notice())):
        sheet.image.quantize(16).save(HERE / f"{name}.png", optimize=True)
        golden(f"{name}.png", [sheet.lines])
    till = receipt()
    (HERE / "receipt.jpg").write_bytes(jpeg(crumpled(till.image), 70))
    golden("receipt.jpg", [till.lines])
    page = recipe()
    (HERE / "photo.jpg").write_bytes(jpeg(photograph(page.image), 70))
    golden("photo.jpg", [page.lines])
    document, texts = report()
    (HERE / "report.pdf").write_bytes(document)
    golden("report.pdf", texts)
    sheets = minutes()
    scans = [sheet.image.point(lambda v: 255 if v > 140 else 0).convert("1") for sheet in sheets]
    scans[0].save(HERE / "minutes.tiff", save_all=True, append_images=scans[1:], compression="group4", dpi=(200, 200))
    golden("minutes.tiff", [sheet.lines for sheet in sheets])


if __name__ == "__main__":
    main()
