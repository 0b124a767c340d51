"""A generic DB text detector, driven by the registry's rule.

Source: Liao et al., 2020, "Real-time Scene Text Detection with Differentiable Binarization". The network's output is a
map of shrunken text regions; each connected part becomes the smallest rectangle around it, grown back by `unclip`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import DetectorRule, InputRule, ModelSpec

# Paper whose lightest and darkest pixel lie closer than this (of 255 levels) carries no text that anybody could see. The network
# is not asked: on one even tone it hangs by a hair, and may see one region as large as the page.
_EVEN = 8


@dataclass(frozen=True)
class Region:
    """A proposal: polygon float32 (4, 2), clockwise from the text's top left, pixels of the image given; score 0..1."""

    polygon: NDArray[np.float32]
    score: float


class Detector:
    """Finds lines of text in an image."""

    def __init__(self, spec: ModelSpec, session: Session) -> None:
        self.spec = spec
        self._session = session

    @classmethod
    def open(cls, spec: ModelSpec, *, threads: int = 1) -> Detector:
        """Open and warm the model. Raises ModelUnavailable."""
        detector = cls(spec, Session(spec.path, name=spec.id, threads=threads))
        detector.detect(np.tile(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None], (1, 256, 3)))
        return detector

    def detect(self, image_bgr: NDArray[np.uint8]) -> list[Region]:
        """Regions of text in a uint8 HxWx3 BGR image, in no order. An empty list: nothing is written here."""
        if image_bgr.ndim != 3 or image_bgr.shape[2] != 3 or image_bgr.size == 0 or image_bgr.dtype != np.uint8:
            raise ValueError(f"an image is a non-empty uint8 HxWx3, not {image_bgr.dtype} {image_bgr.shape}")
        if int(image_bgr.max()) - int(image_bgr.min()) < _EVEN:
            return []
        size = input_size(image_bgr.shape[0], image_bgr.shape[1], self.spec.detector, self.spec.input)
        (text_map,) = self._session.run(image_tensor(image_bgr, size, self.spec.input))
        return regions(text_map[0, 0], image_bgr.shape[:2], self.spec.detector)

    def close(self) -> None:
        """Release the model's memory."""
        self._session.close()


def input_size(height: int, width: int, rule: DetectorRule, image: InputRule) -> tuple[int, int]:
    """Height and width of the tensor for an image of `height` x `width` pixels.

    A short side under `min_side` is enlarged to it, so that small print stays legible; an area over `max_pixels` and a long
    side over `max_side` are reduced. Both sides are rounded to the network's multiple.
    """
    scale = max(1.0, rule.min_side / min(height, width))
    scale = min(scale, math.sqrt(rule.max_pixels / (height * width)), rule.max_side / max(height, width))
    step = image.multiple
    return max(step, round(height * scale / step) * step), max(step, round(width * scale / step) * step)


def image_tensor(image_bgr: NDArray[np.uint8], size: tuple[int, int], rule: InputRule) -> NDArray[np.float32]:
    """The image at `size` (height, width), normalised: float32 (1, 3, height, width) for NCHW, else (1, height, width, 3)."""
    if image_bgr.shape[:2] != size:
        method = cv2.INTER_AREA if size[0] * 2 < image_bgr.shape[0] else cv2.INTER_LINEAR
        image_bgr = cv2.resize(image_bgr, size[::-1], interpolation=method).astype(np.uint8, copy=False)
    if rule.channels == "RGB":
        image_bgr = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    table = ((np.arange(256, dtype=np.float32) / 255 - rule.mean) / rule.std).astype(np.float32)
    if rule.layout == "NHWC":
        return np.ascontiguousarray(table[image_bgr][None])
    return np.stack([cv2.LUT(plane, table) for plane in cv2.split(image_bgr)]).astype(np.float32, copy=False)[None]


def regions(text_map: NDArray[np.float32], size: tuple[int, int], rule: DetectorRule) -> list[Region]:
    """Regions of a DB text map, float32 (h, w) of 0..1, in pixels of an image of `size` (height, width)."""
    mask = (text_map > rule.threshold).astype(np.uint8)
    if rule.dilate:
        mask = cv2.dilate(mask, np.ones((2, 2), np.uint8)).astype(np.uint8, copy=False)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    scale = np.array([size[1] / text_map.shape[1], size[0] / text_map.shape[0]], np.float32)
    limit = np.array([size[1], size[0]], np.float32)
    found: list[Region] = []
    for contour in contours[: rule.max_regions]:
        (cx, cy), (w, h), angle = cv2.minAreaRect(contour)
        if min(w, h) < rule.min_size:
            continue
        score = _mean_inside(text_map, np.asarray(cv2.boxPoints(((cx, cy), (w, h), angle)), np.float32))
        if score < rule.box_threshold:
            continue
        # Clipping the polygon outwards by this distance and taking the smallest rectangle around the result, as DB
        # describes it, comes to a rectangle that is wider and higher by twice the distance.
        grow = w * h * rule.unclip / (2 * (w + h))
        box = cv2.boxPoints(((cx, cy), (w + 2 * grow, h + 2 * grow), angle))
        polygon = np.clip(clockwise(box.astype(np.float32)) * scale, 0, limit).astype(np.float32)
        across, down = math.dist(polygon[0], polygon[1]), math.dist(polygon[0], polygon[3])
        if min(across, down) > rule.min_size:
            found.append(Region(polygon, score))
    return found


def _mean_inside(text_map: NDArray[np.float32], box: NDArray[np.float32]) -> float:
    """Mean of the map inside a rectangle's four corners."""
    high, wide = text_map.shape
    x0, y0 = (int(max(0, math.floor(v))) for v in box.min(axis=0))
    x1, y1 = int(min(wide, math.ceil(box[:, 0].max()) + 1)), int(min(high, math.ceil(box[:, 1].max()) + 1))
    inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(inside, [(box - (x0, y0)).astype(np.int32)], 1)
    return float(cv2.mean(text_map[y0:y1, x0:x1], inside)[0])


def clockwise(box: NDArray[np.float32]) -> NDArray[np.float32]:
    """A rectangle's corners, (4, 2), clockwise on the screen, beginning with the upper one of the two on the left."""
    order = np.argsort(box[:, 0], kind="stable")
    left, right = box[order[:2]], box[order[2:]]
    left, right = left[np.argsort(left[:, 1], kind="stable")], right[np.argsort(right[:, 1], kind="stable")]
    return np.stack([left[0], right[0], right[1], left[1]])
