"""Is this ONNX file a recogniser that the farm can serve as its spec says? Looked at, then run on lines drawn here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ocrfarm_models.line_image import resize_line, to_batch
from ocrfarm_models.offer import Offer, Unfit
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.sessions import Session
from ocrfarm_models.spec import InputRule, ModelSpec
from ocrfarm_shared.errors import ModelUnavailable, no_file

OLDEST_OPSET = 7
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_AXES = {"N": "lines", "C": "channels", "H": "rows", "W": "columns"}


@dataclass(frozen=True)
class Fitting:
    """What the trial found: the rule with `batch` as the file has it, what the drawn line said and was read as, ms a line."""

    input: InputRule
    opset: int
    classes: int
    columns: int
    said: str
    read: str
    confidence: float
    milliseconds: float


def look(file: Path, offer: Offer) -> tuple[int, InputRule]:
    """The file's opset, and the input rule with what the file fixes. Raises Unfit."""
    try:
        model = onnx.load(file, load_external_data=False)
    except FileNotFoundError:
        raise Unfit(no_file(file)) from None
    except OSError as err:
        raise Unfit(f"{file} cannot be read: {err.strerror}.") from None
    except Exception as err:  # protobuf's own class, which onnx does not name
        raise Unfit(f"{file} is not an ONNX file ({type(err).__name__}).") from None
    if not model.graph.node or not model.graph.output:
        raise Unfit(f"{file} is not an ONNX file: it holds no network.")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise Unfit(
            f"{file} keeps its weights in another file; export it as one file (`onnx.save(onnx.load(...))` does)."
        )
    versions = {imported.domain: imported.version for imported in model.opset_import}
    if strange := sorted({node.domain for node in model.graph.node} - _DOMAINS):
        raise Unfit(f"{file} uses operators of {strange[0]!r}, which ONNX Runtime does not have; export without them.")
    opset = versions.get("", versions.get("ai.onnx", 0))
    if opset < OLDEST_OPSET:
        raise Unfit(f"{file} has opset {opset}; export it with {OLDEST_OPSET} or later, best 17.")
    return opset, _input(model, offer.input, file)


def _input(model: onnx.ModelProto, rule: InputRule, file: Path) -> InputRule:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise Unfit(
            f"{file} has {len(inputs)} inputs ({names}); export the part that reads, from the picture to the classes."
        )
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise Unfit(f"The input of {file} is {kind}; export it with a float32 input.")
    sizes = [axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else 0 for axis in tensor.shape.dim]
    shown = " x ".join(str(size or "free") for size in sizes)
    if len(sizes) != 4:
        raise Unfit(
            f"The input of {file} has {len(sizes)} axes ({shown}); a picture has 4: lines, channels, rows, columns."
        )
    by_axis = dict(zip(rule.layout, sizes, strict=True))
    wanted = {"H": rule.height, "C": rule.depth, "W": rule.width}
    for axis in "HCW":
        if by_axis[axis] and wanted[axis] and by_axis[axis] != wanted[axis]:
            raise Unfit(
                f"The input of {file} is {shown}; as {rule.layout} that is {by_axis[axis]} {_AXES[axis]}, and the spec says "
                f"{wanted[axis]}{_hint(sizes, rule)}."
            )
    if by_axis["W"] and not rule.width:
        raise Unfit(
            f"{file} takes lines of {by_axis['W']} columns and no others; put `width = {by_axis['W']}` into [input]."
        )
    if by_axis["N"] > 1:
        raise Unfit(
            f"{file} takes exactly {by_axis['N']} lines at once; export it with a free batch axis, or for one line."
        )
    return replace(rule, batch=1 if by_axis["N"] == 1 else rule.batch)


def _hint(sizes: Sequence[int], rule: InputRule) -> str:
    """Another order of axes that would fit."""
    wanted = {"N": 0, "H": rule.height, "C": rule.depth, "W": rule.width}
    for order in ("NCHW", "NHWC", "NWHC", *map("".join, permutations("NCHW"))):
        fits = all(
            not size or not wanted[axis] or size == wanted[axis] for size, axis in zip(sizes, order, strict=True)
        )
        if order != rule.layout and fits:
            known = order in ("NCHW", "NHWC", "NWHC")
            return (
                f"; did you mean layout = {order!r}" if known else f" (it looks like {order}, which needs a transpose)"
            )
    return ""


def try_out(spec: ModelSpec, characters: Sequence[str], offer: Offer, opset: int) -> Fitting:
    """Run the model of `spec` on drawn lines. Raises Unfit."""
    said, picture = drawn(characters)
    session = _open(spec)
    names = session.output_names
    reduced = "index" in names and "confidence" in names
    if not reduced and len(names) != 1 and offer.output.name not in names:
        raise Unfit(f"The model gives {', '.join(names)}; say which holds the classes: `name` in the spec's [output].")
    rule = _batch(session, spec.input, picture)
    out = session.run(to_batch([resize_line(picture, replace(rule, overlap=0))], rule))
    classes = len(characters) + int(offer.space) + 1
    if not reduced:
        _check_output(out[names.index(offer.output.name) if offer.output.name in names else 0], classes, offer)
    try:
        recognizer = Recognizer(replace(spec, input=rule), session)
        start = time.perf_counter()
        (line,) = recognizer.read([picture])
    except (ModelUnavailable, IndexError, ValueError) as err:
        raise Unfit(f"The model ran, but its answer cannot be read: {err}.") from None
    milliseconds = (time.perf_counter() - start) * 1000
    columns = out[0].shape[0 if offer.output.order == "TNC" and not reduced else 1]
    recognizer.close()
    return Fitting(rule, opset, classes, columns, said, line.text, line.confidence, milliseconds)


def _open(spec: ModelSpec) -> Session:
    try:
        return Session(spec.path)
    except ModelUnavailable as err:
        said = str(err.__cause__).splitlines()[0]
        raise Unfit(f"ONNX Runtime cannot open the model: {said}") from None


def _batch(session: Session, rule: InputRule, picture: NDArray[np.uint8]) -> InputRule:
    """The rule with `batch` 1 where the model cannot take two lines at once, although its file leaves that open."""
    line = resize_line(picture, replace(rule, overlap=0))
    for count in (1,) if rule.batch else (2, 1):
        try:
            session.run(to_batch([line] * count, rule))
        except Exception as err:  # ONNX Runtime raises a class of its own for each status
            if count == 1:
                said = str(err).splitlines()[0]
                raise Unfit(f"The model cannot read a line of {line.shape[1]} x {rule.height} pixels: {said}") from None
        else:
            return replace(rule, batch=0 if count == 2 else 1)
    raise AssertionError("one line was tried")


def _check_output(raw: NDArray[Any], classes: int, offer: Offer) -> None:
    order = offer.output.order
    if raw.ndim != 3:
        raise Unfit(
            f"The model's output is {_sizes(raw)}; a CTC recogniser gives lines x columns x classes. If it decodes by itself, export "
            "the layer before that."
        )
    lines, other = (0, 1) if order == "NTC" else (1, 0)
    if raw.shape[lines] != 1:
        swap = f'; columns come first: put order = "{"TNC" if order == "NTC" else "NTC"}" into [output]'
        raise Unfit(f"The output for one line is {_sizes(raw)}{swap if raw.shape[other] == 1 else ''}.")
    if raw.shape[2] != classes:
        off = raw.shape[2] - classes
        why = {1: "is the space missing (`space = true`), or [UNK]?", -1: "does the charset list the blank?"}.get(
            off, ""
        )
        raise Unfit(
            f"The model has {raw.shape[2]} classes; the charset has {classes - 1 - offer.space} characters, which with the "
            f"blank{' and the space' if offer.space else ''} makes {classes}. {why}".rstrip()
        )
    if offer.blank >= classes:
        raise Unfit(f"`blank` is {offer.blank}, and the model has the classes 0 to {classes - 1}.")
    if not np.isfinite(raw).all():
        raise Unfit("The model's output holds values that are no numbers (NaN or infinite) for a plain line.")
    _check_activation(raw.astype(np.float64), offer)


def _check_activation(values: NDArray[np.float64], offer: Offer) -> None:
    shares = bool((values >= -1e-6).all() and np.allclose(values.sum(-1), 1, atol=1e-2))
    logs = bool((values <= 1e-6).all() and np.allclose(np.exp(values).sum(-1), 1, atol=1e-2))
    found = "softmax" if shares else "log_softmax" if logs else "logits"
    if found != offer.output.activation:
        told = {"softmax": "probabilities", "log_softmax": "logarithms of probabilities", "logits": "no probabilities"}
        raise Unfit(f'The model gives {told[found]}; put activation = "{found}" into [output].')


def _sizes(raw: NDArray[Any]) -> str:
    return " x ".join(map(str, raw.shape))


def drawn(characters: Sequence[str], count: int = 5) -> tuple[str, NDArray[np.uint8]]:
    """A line of print in the model's own characters, as far as Pillow's font has them; uint8 (H, W, 3), black on white."""
    font = ImageFont.load_default(32)
    latin = [c for c in characters if len(c) == 1 and c.isascii() and c.isalnum()]
    pool = latin or [c for c in characters if c.strip()]
    said = "".join(pool[n * len(pool) // count] for n in range(min(count, len(pool))))
    left, top, right, bottom = (int(v) for v in font.getbbox(said))
    image = Image.new("RGB", (right - left + 12, bottom - top + 12), "white")
    ImageDraw.Draw(image).text((6 - left, 6 - top), said, "black", font)
    return said, np.asarray(image, np.uint8)
