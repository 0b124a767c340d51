#!/usr/bin/env python3
"""Makes the pictures in this folder: lines and pages that 8-bit quantisation takes its value ranges from (quantize.py).

    python make.py FONTS...     FONTS: folders that are searched for Latin faces, display and handwriting among them

What stands in the repository was drawn with Debian's fonts-dejavu, fonts-liberation2, fonts-ebgaramond, fonts-noto-cjk and
fonts-wqy-zenhei, and with the Debian and npm (@fontsource) packages that training/sources.toml names. Text is our own and
random; what is written is not stored, because only the ranges of values inside the networks are of use.
"""

from __future__ import annotations

import random
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

HERE = Path(__file__).parent
LINES, PAGES = 160, 10


def words_of(text: str) -> list[str]:
    return text.split()


NOTO = Path("/usr/share/fonts/opentype/noto")
HAN = [
    *(NOTO / f"NotoSansCJK-{w}.ttc" for w in ("Regular", "Bold")),
    *(NOTO / f"NotoSerifCJK-{w}.ttc" for w in ("Regular", "Bold")),
    Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc"),
]
LATIN = words_of("""the invoice number delivery address total amount due payment received with thanks order date quantity description unit
price subtotal tax cash change balance account report department of health annual meeting minutes chairman secretary street road
north avenue station exit open closed parking restaurant coffee fresh daily special offer sale hotel museum please keep left
caution wet floor private property no entry letter dear sir madam yours faithfully further to our telephone conversation
research results figure table page section chapter temperature pressure water weather morning evening children house river
mountain quick brown fox jumps over lazy dog sphinx black quartz judge my vow""")
SIMPLE = words_of("""中华人民共和国 有限公司 北京市海淀区 发票号码 合计金额 日期 签名 地址 电话 欢迎光临 请勿吸烟 小心地滑 今日特价
图书馆开放时间 学习使我们进步 春风又绿江南岸 明月何时照我还 数量单价 银行账户 身份证号码 安全出口 停车场 医院挂号处 火车站 机场快线 新鲜水果
我们在这里等你 他们已经回家了 关于加强管理的通知 第一章总则 技术规范 产品质量检验合格证""")
TRADITIONAL = words_of("""臺灣大學圖書館 歡迎光臨 請勿吸菸 統一發票 總計金額 營業時間 聯絡電話 國立故宮博物院 捷運車站
醫療費用收據 學習與發展 關於本條例之規定 傳統市場 龍鳳呈祥 萬事如意 經濟部國際貿易局 書法藝術展覽 請按鈴 憑證 寫作業 聽說讀寫 觀察""")


def text(rng: random.Random, kind: str) -> str:
    if kind != "latin":
        words = SIMPLE if kind == "simple" else TRADITIONAL
        parts = [rng.choice(words) for _ in range(rng.randint(1, 4))]
        return rng.choice(["", "，", "：", " "]).join(parts) + rng.choice(
            ["", "。", "2024年5月18日", "（3）", "￥128.00"]
        )
    parts = [rng.choice(LATIN) for _ in range(rng.choice([1, 1, 1, 2, 3, 4, 6, 8, 10]))]
    style = rng.random()
    if style < 0.25:
        parts = [p.upper() for p in parts]
    elif style < 0.5:
        parts = [p.capitalize() for p in parts]
    if rng.random() < 0.35:
        number = rng.choice(["{:.2f}", "${:,.2f}", "{:06.0f}", "No. {:.0f}", "{:.1f}%", "(0{:.0f})", "#{:.0f}"])
        parts.insert(rng.randint(0, len(parts)), number.format(rng.uniform(1, 90000)))
    return " ".join(parts) + rng.choice(["", "", ".", ",", ":", "!", "?"])


def face(rng: random.Random, kind: str, latin: list[Path], size: int) -> ImageFont.FreeTypeFont:
    path = rng.choice(latin if kind == "latin" else HAN)
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def paper(rng: random.Random, size: tuple[int, int], light: int, scene: bool) -> np.ndarray:
    """Background, float32 (h, w, 3): even paper, or a coloured surface with light and texture that vary."""
    noise = np.random.default_rng(rng.randrange(1 << 30))
    width, height = size
    tint = np.array([light + rng.uniform(-60, 60) * scene for _ in range(3)], np.float32)
    out = np.ones((height, width, 3), np.float32) * tint
    if scene or rng.random() < 0.4:
        rough = noise.uniform(-1, 1, (max(2, height // 24), max(2, width // 24))).astype(np.float32)
        smooth = np.asarray(Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC))
        out += (smooth * rng.uniform(8, 45 if scene else 18))[:, :, None]
    return out


def worn(rng: random.Random, picture: np.ndarray) -> Image.Image:
    """As a camera or scanner leaves it: blur, noise, a smaller size."""
    noise = np.random.default_rng(rng.randrange(1 << 30))
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.4)))
    grain = noise.normal(0, rng.uniform(0, 9), (image.height, image.width, 1))
    return Image.fromarray(np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8))


def ink(rng: random.Random, scene: bool) -> tuple[int, tuple[int, ...]]:
    """Lightness of the paper and colour of the ink: dark on light mostly, the other way round on many a sign."""
    if rng.random() < (0.4 if scene else 0.1):
        return rng.randint(10, 110), tuple(rng.randint(190, 255) for _ in range(3))
    return rng.randint(170, 255), tuple(rng.randint(0, 110 if scene else 70) for _ in range(3))


def line(rng: random.Random, kind: str, latin: list[Path]) -> Image.Image:
    scene = rng.random() < 0.4
    light, colour = ink(rng, scene)
    font = face(rng, kind, latin, rng.randint(22, 44))
    words = text(rng, kind)
    box = font.getbbox(words)
    pad = [rng.randint(1, 9) for _ in range(4)]
    size = (int(box[2] - box[0]) + pad[0] + pad[1], int(box[3] - box[1]) + pad[2] + pad[3])
    image = Image.fromarray(np.clip(paper(rng, size, light, scene), 0, 255).astype(np.uint8))
    ImageDraw.Draw(image).text((pad[0] - box[0], pad[2] - box[1]), words, fill=colour, font=font)
    if rng.random() < 0.3:
        image = image.rotate(rng.uniform(-3, 3), Image.Resampling.BICUBIC, fillcolor=image.getpixel((0, 0)))
    image = worn(rng, np.asarray(image, np.float32))
    high = rng.choice([20, 26, 32, 40, 48])
    return image.resize((max(high // 2, round(image.width * high / image.height)), high), Image.Resampling.LANCZOS)


def page(rng: random.Random, number: int, latin: list[Path]) -> Image.Image:
    """A sheet with columns of lines, or a scene with a few signs."""
    scene = number % 3 == 2
    size = rng.choice([(640, 860), (760, 1000), (860, 640), (560, 1100)])
    light, colour = ink(rng, scene)
    image = Image.fromarray(np.clip(paper(rng, size, light, scene), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    y, column = 30, rng.choice([1, 1, 2])
    kind = ("latin", "simple", "latin", "traditional")[number % 4]
    while y < size[1] - 60:
        high = rng.randint(24, 90) if scene else rng.choice([12, 14, 14, 16, 16, 18, 24, 34])
        font = face(rng, kind, latin, high)
        for i in range(column):
            if rng.random() < (0.4 if scene else 0.9):
                where = (20 + i * size[0] // column + rng.randint(0, 40), y)
                words = text(rng, kind)
                while font.getlength(words) > size[0] / column - 60 and len(words) > 2:
                    words = words[: len(words) * 2 // 3]
                draw.text(where, words, fill=colour if not scene else ink(rng, True)[1], font=font)
        y += int(high * rng.uniform(1.2, 2.6))
        if rng.random() < 0.1:
            draw.line((20, y - 4, size[0] - 20, y - 4), fill=colour, width=rng.randint(1, 3))
    if number % 2:
        image = image.rotate(rng.uniform(-6, 6), Image.Resampling.BICUBIC, fillcolor=image.getpixel((2, 2)))
    return worn(rng, np.asarray(image, np.float32))


def latin_faces(folders: list[str]) -> list[Path]:
    """Faces under the folders that open and have Latin letters."""
    found = []
    for path in (p for folder in folders for p in sorted(Path(folder).rglob("*"))):
        if path.suffix not in (".ttf", ".otf") and "latin-400-normal.woff2" not in path.name:
            continue
        if path.name.startswith("Noto") and not path.name.startswith(("NotoSans-", "NotoSerif-", "NotoSansMono-")):
            continue
        try:
            font = ImageFont.truetype(str(path), 30)
            shapes = {bytes(font.getmask(char)) for char in "aegAGR"}
        except (OSError, ValueError):
            continue
        if len(shapes) == 6:  # a face without Latin letters draws the same box for all of them
            found.append(path)
    return found


def main() -> None:
    latin = latin_faces(sys.argv[1:])
    for i in range(LINES):
        rng = random.Random(zlib.crc32(b"line %d" % i))  # noqa: S311 - pictures, not secrets
        kind = ("latin", "latin", "simple", "traditional", "latin")[i % 5]
        line(rng, kind, latin).save(HERE / f"line-{i:03d}.webp", quality=50, method=6)
    for i in range(PAGES):
        rng = random.Random(zlib.crc32(b"page %d" % i))  # noqa: S311 - pictures, not secrets
        page(rng, i, latin).save(HERE / f"page-{i:02d}.webp", quality=40, method=6)


if __name__ == "__main__":
    main()
