"""What happens to letters between the sign and the file: warps, wear, light, blur, noise, compression."""

from __future__ import annotations

import random

import cv2
import numpy as np


def weight(mask: np.ndarray, rng: random.Random) -> np.ndarray:
    """Make strokes thicker or thinner by a pixel or so (uint8 mask)."""
    kernel = np.ones((2, 2) if rng.random() < 0.6 else (3, 3), np.uint8)
    return cv2.dilate(mask, kernel) if rng.random() < 0.65 else cv2.erode(mask, kernel)


def bend_map(shape: tuple[int, int], rng: random.Random, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return cv2.remap's x and y maps (float32 H x W) that bend a line into an arc or a wave."""
    h, w = shape
    x = np.linspace(-1, 1, w, dtype=np.float32)
    height = rng.uniform(-0.28, 0.28) * min(h, w * 0.35) * strength
    if rng.random() < 0.7:
        shift = height * (1 - 2 * x * x)
    else:
        shift = height * np.sin((x * rng.uniform(0.5, 1.5) + rng.random()) * np.pi).astype(np.float32)
    squeeze = 1 + abs(2 * height) / h  # so that nothing leaves the mask
    y = (np.arange(h, dtype=np.float32)[:, None] - h / 2) * squeeze + h / 2 + shift[None, :]
    return np.broadcast_to(np.arange(w, dtype=np.float32), (h, w)).copy(), y.astype(np.float32)


def camera(mask: np.ndarray, high: int, rng: random.Random, gentle: bool = False) -> tuple[np.ndarray, tuple[int, int]]:
    """Choose a view: return (3 x 3 matrix, (width, height)) that maps the mask into a crop of about `high` rows.

    The crop is the box around the warped ink, with a margin that is loose, tight or cuts a little, as detectors and people do.
    """
    columns = np.flatnonzero(mask.max(axis=0) > 40)
    rows = np.flatnonzero(mask.max(axis=1) > 40)
    if not len(columns) or not len(rows):
        return np.eye(3, dtype=np.float32), (0, 0)
    x0, x1, y0, y1 = float(columns[0]), float(columns[-1] + 1), float(rows[0]), float(rows[-1] + 1)
    w, h = x1 - x0, y1 - y0
    source = np.float32([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    target = np.float32([[0, 0], [w, 0], [w, h], [0, h]])
    if gentle:
        angle = rng.gauss(0, 0.35) if w > 6 * h else rng.gauss(0, 1)
        stretch = rng.uniform(0.8, 1.25)
        shear = rng.uniform(-0.06, 0.06)
    else:
        angle = rng.gauss(0, 4) if rng.random() < 0.75 else rng.uniform(-14, 14)
        stretch = rng.uniform(0.6, 1.0) if rng.random() < 0.4 else rng.uniform(0.9, 1.7)
        shear = rng.gauss(0, 0.12)
        if rng.random() < 0.4:  # one side farther off than the other
            near, lean = rng.uniform(0, 0.22) * h, rng.uniform(-0.12, 0.12) * min(w, 2 * h)
            left = rng.random() < 0.5
            side = (0, 3) if left else (1, 2)
            target[side[0]] += (lean, near * rng.random())
            target[side[1]] += (lean, -near * rng.random())
        if len(columns) > 4 * len(rows):
            angle *= 0.5
    target[:, 0] = target[:, 0] * stretch + shear * target[:, 1]
    a = np.deg2rad(angle)
    target = target @ np.float32([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    low, far = target.min(axis=0), target.max(axis=0)
    tall, wide = float(far[1] - low[1]), float(far[0] - low[0])
    loose = rng.random()
    margins = [rng.uniform(-0.03, 0.10) if loose < 0.6 else rng.uniform(0.0, 0.40) for _ in range(4)]
    if gentle and loose < 0.3:
        margins[0] = margins[2] = rng.uniform(-0.15, 0.3)
    low -= np.float32([margins[0] * tall, margins[1] * tall])
    wide += (margins[0] + margins[2]) * tall
    tall += (margins[1] + margins[3]) * tall
    scale = high / max(tall, 1)
    matrix = cv2.getPerspectiveTransform(source, ((target - low) * scale).astype(np.float32))
    return matrix, (max(4, round(wide * scale)), high)


def rule(picture: np.ndarray, rng: random.Random, tone: float) -> None:
    """Draw a straight rule through or beside the text, in place (float32 0..1)."""
    h, w = picture.shape
    if rng.random() < 0.7:
        y = rng.choice([rng.uniform(0, 0.12), rng.uniform(0.85, 1.0), rng.uniform(0.85, 1.0)]) * h
        cv2.line(picture, (0, int(y)), (w, int(y + rng.uniform(-2, 2))), tone, rng.choice([1, 1, 2]), cv2.LINE_AA)
    else:
        x = rng.choice([rng.uniform(0, 0.02), rng.uniform(0.98, 1.0)]) * w
        cv2.line(picture, (int(x), 0), (int(x + rng.uniform(-3, 3)), h), tone, rng.choice([1, 2, 3]), cv2.LINE_AA)


def underline(mask: np.ndarray, rng: random.Random) -> np.ndarray:
    """Draw a line under the letters of a uint8 mask, as forms and headings have: through the descenders or below them."""
    rows = np.flatnonzero(mask.max(axis=1) > 40)
    columns = np.flatnonzero(mask.max(axis=0) > 40)
    if not len(rows) or not len(columns):
        return mask
    out, h = mask.copy(), mask.shape[0]
    y = min(h - 1, int(rows[-1] - rng.uniform(-0.10, 0.22) * len(rows)))
    reach = rng.choice([0, 0, 6, 30])
    cv2.line(out, (max(0, int(columns[0]) - reach), y), (int(columns[-1]) + reach, y), 255, rng.choice([1, 2, 2, 3]))
    return out


def bilevel(core: np.ndarray, rng: random.Random, noise: np.random.Generator) -> np.ndarray:
    """Scan ink (float32 0..1, 1 is ink) to black and white as faxes and archives hold it; return uint8, the same size.

    The threshold falls at the scanner's resolution, not at the crop's: strokes break or fill, speckles appear, and what was
    scanned finer is grey again once it is made smaller.
    """
    h, w = core.shape
    finer = rng.choice([1.0, 1.0, 1.5, 2.0])
    ink = core if finer == 1.0 else cv2.resize(core, None, fx=finer, fy=finer, interpolation=cv2.INTER_CUBIC)
    ink = cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.3, 0.9) * finer)
    ink = ink + noise.standard_normal(ink.shape, np.float32) * rng.uniform(0, 0.16)
    page = (ink < rng.uniform(0.28, 0.62)).astype(np.float32)
    if rng.random() < 0.35:  # dust, and holes in the toner
        share = rng.uniform(0.0005, 0.02)
        specks = (noise.random(page.shape, np.float32) < share).astype(np.uint8)
        if rng.random() < 0.4:
            specks = cv2.dilate(specks, np.ones((2, 2), np.uint8))
        page = np.where(specks > 0, 1 - page if rng.random() < 0.5 else 0.0, page).astype(np.float32)
    if rng.random() < 0.2:
        rule(page, rng, 0.0)
    if finer != 1.0:
        page = cv2.resize(page, (w, h), interpolation=cv2.INTER_AREA)
    out = (np.clip(page, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.4:
        ok, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(30, 92)])
        out = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if ok else out
    return out


def photograph(picture: np.ndarray, rng: random.Random, noise: np.random.Generator, gentle: bool = False) -> np.ndarray:
    """Light, blur, noise and JPEG: float32 0..1 in, uint8 out, the same size."""
    h, w = picture.shape
    if rng.random() < 0.25:  # shadow or lamp: light that falls off
        x, y = np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32)[:, None]
        fall = rng.uniform(-0.4, 0.4) * x + rng.uniform(-0.4, 0.4) * y
        if rng.random() < 0.4:
            fall = np.where(
                x * rng.uniform(0.5, 3) + y * rng.uniform(-1, 1) > rng.uniform(-1, 1), fall, fall - rng.uniform(0, 0.35)
            )
        picture = picture * (1 + fall)
    r = rng.random()
    if r < (0.25 if gentle else 0.40):
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.045 * h if not gentle else 0.03 * h + 0.3))
    elif r < (0.28 if gentle else 0.48):
        length = rng.randint(2, max(3, h // 7))
        kernel = np.zeros((length, length), np.float32)
        ends = rng.choice([((0, length // 2), (length - 1, length // 2)), ((0, 0), (length - 1, length - 1)),
                           ((length // 2, 0), (length // 2, length - 1)), ((0, length - 1), (length - 1, 0))])  # fmt: skip
        cv2.line(kernel, *ends, 1.0)
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    if rng.random() < 0.15:  # sharpened by the camera: halos
        picture = picture + (picture - cv2.GaussianBlur(picture, (0, 0), 1.2)) * rng.uniform(0.3, 1.5)
    if rng.random() < 0.5:
        sigma = abs(rng.gauss(0, 0.035))
        grain = noise.standard_normal((h, w), np.float32)
        if rng.random() < 0.4:
            grain = cv2.GaussianBlur(grain, (0, 0), 0.8) * 2
        picture = picture + grain * sigma
    if rng.random() < 0.2:
        picture = np.clip(picture, 0, 1) ** rng.uniform(0.6, 1.6)
    out = (np.clip(picture, 0, 1) * 255).astype(np.uint8)
    if gentle and rng.random() < 0.04:  # a black and white scan or fax
        _, out = cv2.threshold(out, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    if rng.random() < 0.4:
        ok, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(18, 90)])
        if ok:
            out = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return out
