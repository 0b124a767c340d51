"""One line of text as the tensor that a recogniser (or a direction classifier) takes. The same code trains and serves.

A crop keeps its aspect ratio at full width: nothing is cut off. A line wider than `rule.max_width` columns is squeezed; so is one wider
than `rule.width`, unless it is read through windows; and with `fit = "stretch"` narrower ones are stretched to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.spec import InputRule

Crop = NDArray[np.uint8]
Tensor = NDArray[np.float32]

# Paper that `closer` leaves above and below the writing, as a share of its height; and the share of a row that may be specks.
_MARGIN, _SPECKS = 0.15, 0.01
# Rows or columns of a large crop that are looked at for it.
_LOOKED_AT = 128
# Below this scale bilinear sampling skips whole pixels, and thin strokes with them.
_AREA_BELOW = 0.5


def columns(height: int, width: int, rule: InputRule) -> int:
    """Columns that a crop of `height` x `width` pixels fills in the tensor, before padding."""
    natural = math.ceil(rule.height * width / max(height, 1))
    if rule.width and rule.fit == "stretch":
        natural = max(natural, rule.width)
    limit = rule.max_width if rule.overlap else rule.width or rule.max_width
    return max(1, min(natural, limit))


def padded_columns(widest: int, rule: InputRule) -> int:
    """Columns of the tensor of a batch whose widest line fills `widest` columns."""
    if rule.width:
        return max(rule.width, widest)
    return math.ceil(max(widest + rule.margin, rule.min_width) / rule.multiple) * rule.multiple


def resize_line(crop: Crop, rule: InputRule) -> Crop:
    """The crop in the rule's channels and height: uint8, (height, columns) for GREY, else (height, columns, 3).

    `crop` is uint8, HxW or HxWx1 grey, or HxWx3 BGR. Raises ValueError for anything else and for an empty crop.
    """
    if crop.size == 0 or crop.dtype != np.uint8 or crop.ndim not in (2, 3):
        raise ValueError(f"a crop is a non-empty uint8 image, not {crop.dtype} {crop.shape}")
    if crop.ndim == 3 and crop.shape[2] == 1:
        crop = crop[:, :, 0]
    if crop.ndim == 2 and rule.channels != "GREY":
        crop = cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    elif crop.ndim == 3 and rule.channels != "BGR":
        code = cv2.COLOR_BGR2GRAY if rule.channels == "GREY" else cv2.COLOR_BGR2RGB
        crop = cv2.cvtColor(crop, code).astype(np.uint8, copy=False)
    height, width = crop.shape[:2]
    target = columns(height, width, rule)
    if (height, width) == (rule.height, target):
        return crop
    method = cv2.INTER_AREA if rule.height / height < _AREA_BELOW else cv2.INTER_LINEAR
    return cv2.resize(crop, (target, rule.height), interpolation=method).astype(np.uint8, copy=False)


def closer(crop: Crop, rule: InputRule) -> Crop:
    """A crop of the detector's without `rule.trim` of its height above and below, and without what is then still paper further out than
    `_MARGIN`. The detector cuts with paper around, about in proportion to the writing, but around short lines it leaves more."""
    off = round(crop.shape[0] * rule.trim)
    if not off:
        return crop
    crop = crop[off : crop.shape[0] - off]
    step = max(1, min(crop.shape[:2]) // _LOOKED_AT)  # every so many pixels tell as much
    rows = np.flatnonzero(inked(crop[::step, ::step]).mean(axis=1) > _SPECKS) * step
    if not rows.size:
        return crop
    margin = _MARGIN * (rows[-1] + step - rows[0])
    return crop[max(0, int(rows[0] - margin)) : math.ceil(rows[-1] + step + margin)]


def inked(crop: Crop, *, by_row: bool = False) -> NDArray[np.bool_]:
    """Which pixels (H, W) of a crop are ink: they differ from the paper by 0.4 of what the strongest strokes do.

    Paper is what a fifth of the pixels reach: between bold letters there is not more of it. With `by_row` each row has its own, and a rule
    along a row is paper.
    """
    grey = (crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)).astype(np.float32)
    if grey.mean() > (grey.min() + grey.max()) / 2:  # dark on light
        grey = 255 - grey
    differs = grey - (np.percentile(grey, 20, axis=1, keepdims=True) if by_row else np.percentile(grey, 20))
    return np.asarray(differs > 0.4 * np.percentile(differs, 98))


def to_batch(lines: Sequence[Crop], rule: InputRule) -> Tensor:
    """Resized lines (of `resize_line`) side by side: float32, normalised, padded on the right with `rule.pad`.

    (N, C, height, columns) for NCHW, (N, height, columns, C) for NHWC, (N, columns, height, C) for NWHC.
    """
    widest = max(line.shape[1] for line in lines)
    sizes = {"N": len(lines), "H": rule.height, "W": padded_columns(widest, rule), "C": rule.depth}
    batch = np.full([sizes[axis] for axis in rule.layout], rule.pad, np.float32)
    scale, offset = np.float32(1 / (255 * rule.std)), np.float32(rule.mean / rule.std)
    for row, line in zip(batch, lines, strict=True):
        value = line[:, :, None] if line.ndim == 2 else line
        if rule.layout == "NCHW":
            value = value.transpose(2, 0, 1)
            part = row[:, :, : value.shape[2]]
        elif rule.layout == "NHWC":
            part = row[:, : value.shape[1]]
        else:
            value = value.transpose(1, 0, 2)
            part = row[: value.shape[0]]
        np.multiply(value, scale, out=part, dtype=np.float32, casting="unsafe")
        part -= offset
    return batch
