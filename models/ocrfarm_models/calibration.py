"""The recipe `int8`: which values occur inside a network, from pictures that the project ships, and the network in 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from ocrfarm_models import graph
from ocrfarm_models.detector import image_tensor, input_size
from ocrfarm_models.line_image import resize_line, to_batch
from ocrfarm_models.quantize import Plan, Ranges, observed, quantize, tensors
from ocrfarm_models.registry import Row
from ocrfarm_models.sessions import Session, simplified

PICTURES = Path(__file__).parent / "calibration_pictures"
# The range of a tensor is that of all pictures but the wildest few: a picture's greatest value is left out where fewer than
# this share of the pictures reach it. Measured: columns of lines read otherwise than in 32 bits 5.7%; with all, 7.0%.
_SHARE = 0.05


def prepared(entry: Row, source: onnx.ModelProto) -> onnx.ModelProto:
    """The row's model with its graph simplified and, of a recogniser, its output reduced; metadata are kept."""
    model = graph.upgrade(source)
    metadata = {p.key: p.value for p in model.metadata_props}
    if entry.kind == "recognizer":
        model = graph.reduce_output(model)
    model = onnx.load_from_string(simplified(model.SerializeToString()))
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    onnx.helper.set_model_props(model, metadata)
    return model


def static_int8(
    entry: Row, source: onnx.ModelProto, advance: Callable[[float], None] = lambda _: None
) -> onnx.ModelProto:
    """The row's model in 8 bits, its ranges taken from the calibration pictures; `advance` hears the share done, 0..1.

    The same source gives the same model wherever `quantize.weight_limit` is the same.
    """
    model = prepared(entry, source)
    plan = Plan(keep=frozenset(entry.keep))
    return quantize(model, ranges(entry, model, plan, advance), plan)


def ranges(entry: Row, model: onnx.ModelProto, plan: Plan, advance: Callable[[float], None]) -> Ranges:
    """Least and greatest value of every tensor that is to be held in 8 bits."""
    names = tensors(model, plan)
    session = Session(observed(model, names).SerializeToString(), threads=0, arena=True)
    seen: list[list[float]] = []
    pictures = list(inputs(entry))
    for tensor in pictures:
        seen.append([float(value) for value in session.run(tensor)])
        advance(len(seen) / len(pictures))
    session.close()
    values = np.array(seen).reshape(len(seen), len(names), 2)
    low, high = np.quantile(values[:, :, 0], _SHARE, axis=0), np.quantile(values[:, :, 1], 1 - _SHARE, axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def inputs(entry: Row) -> Iterator[NDArray[np.float32]]:
    """The calibration pictures as the model's tensors: pages for a detector, lines for a recogniser."""
    pattern = "page-*.webp" if entry.kind == "detector" else "line-*.webp"
    for path in sorted(PICTURES.glob(pattern)):
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None, f"{path.name} is part of the project and must open"
        pixels = image.astype(np.uint8, copy=False)
        if entry.kind == "detector":
            size = input_size(pixels.shape[0], pixels.shape[1], entry.detector, entry.input)
            yield image_tensor(pixels, size, entry.input)
        else:
            yield to_batch([resize_line(pixels, entry.input)], entry.input)
