"""INT8 and float16 variants of an exported recogniser, each kept only if it passes the accuracy gate.

    python -m ocrfarm_models.training.quantise crnn-en.onnx --shards runs/shards --out runs/crnn-en

int8      pointwise convolutions static QDQ (calibrated on samples, weights per channel), LSTMs and the last layer dynamic
dynamic   only the LSTMs and the last layer, dynamic: for machines whose convolutions are not faster in INT8
fp16      all in float16 with float32 inputs and outputs: half the size

Static QDQ leaves LSTMs alone (ONNX Runtime has no quantised kernel for them but `DynamicQuantizeLSTM`), and they hold half of the
parameters, so the int8 variant takes both steps. The network's first node, which evens the light, stays float32: it decides what
is padding by comparing with exactly 0. So do the stem, the depthwise convolutions and the squeeze gates: a tenth of the weights,
no faster in 8 bits, and they cost most of the accuracy (crnn-en: 0.009 of exact matches with them in 8 bits, 0.003 without).
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from ocrfarm_models.line_image import to_batch
from ocrfarm_models.training.alphabet import Alphabet
from ocrfarm_models.training.batches import by_width
from ocrfarm_models.training.rule import LINE_RULE
from ocrfarm_models.training.scores import Score
from ocrfarm_models.training.shards import Sample, read

log = logging.getLogger(__name__)
LOSS_ALLOWED = 0.005  # of exact matches, against float32
FLOAT = ("/stem/", "/depth/", "/gate/")  # parts of the network whose convolutions stay float32


def batches(samples: Sequence[Sample], columns: int = 4096) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Yield (float32 N x 1 x 32 x W, texts), lines of like width together."""
    for group in by_width(samples, columns):
        yield to_batch([image for image, _ in group], LINE_RULE), [text for _, text in group]


class Calibration(CalibrationDataReader):
    """Feeds samples to the calibrator once."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.rest = batches(samples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input or None at the end."""
        got = next(self.rest, None)
        return None if got is None else {"x": got[0]}


def measure(path: Path, samples: Sequence[Sample]) -> tuple[Score, float]:
    """Return the score on samples and the milliseconds a line of 640 columns takes at batch 8 on one core (best of 5)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    alphabet = Alphabet(json.loads(session.get_modelmeta().custom_metadata_map["charset"]))
    pairs = []
    for x, texts in batches(samples):
        index = session.run(["index"], {"x": x})[0]
        pairs += [(text, alphabet.decode(row)) for text, row in zip(texts, index, strict=True)]
    x = np.random.default_rng(0).uniform(-1, 1, (8, 1, LINE_RULE.height, 640)).astype(np.float32)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        session.run(None, {"x": x})
        times.append(time.perf_counter() - start)
    return Score.of(pairs), min(times[1:]) * 1000 / 8


def keep_notes(source: Path, target: Path, variant: str) -> None:
    """Copy the metadata, which the quantisers drop, and add what was done."""
    model = onnx.load(target)
    notes = {p.key: p.value for p in onnx.load(source).metadata_props} | {"quantised": variant}
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, target)


def int8(source: Path, target: Path, samples: Sequence[Sample]) -> None:
    """Write the static QDQ + dynamic LSTM variant."""
    ready, static = target.with_suffix(".ready.onnx"), target.with_suffix(".static.onnx")
    quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
    convolutions = [node.name for node in onnx.load(ready).graph.node if node.op_type == "Conv"]
    left = [name for name in convolutions if any(part in name for part in FLOAT)]
    quantize_static(str(ready), str(static), Calibration(samples), quant_format=QuantFormat.QDQ, per_channel=True,
                    op_types_to_quantize=["Conv"], nodes_to_exclude=left, activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax)  # fmt: skip
    quantize_dynamic(
        str(static), str(target), op_types_to_quantize=["LSTM", "MatMul"], per_channel=True, weight_type=QuantType.QInt8
    )
    keep_notes(source, target, "int8")
    ready.unlink()
    static.unlink()


def dynamic(source: Path, target: Path) -> None:
    """Write the dynamic variant."""
    quantize_dynamic(
        str(source), str(target), op_types_to_quantize=["LSTM", "MatMul"], per_channel=True, weight_type=QuantType.QInt8
    )
    keep_notes(source, target, "dynamic")


def fp16(source: Path, target: Path) -> None:
    """Write weights as float16 with a cast before their use: half the size, float32 arithmetic, the same on every CPU."""
    model = onnx.load(source)
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 64:
            continue
        name = tensor.name
        half = onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half")
        tensor.CopyFrom(half)
        casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    onnx.save(model, target)
    keep_notes(source, target, "fp16")


def main() -> None:
    """Make the variants, measure them, drop those that lose too much."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("onnx", type=Path)
    ap.add_argument(
        "--shards",
        type=Path,
        default=Path("runs/shards"),
        help="val_*.npz for the gate, word/line/real shards to calibrate",
    )
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--calibrate", type=int, default=384, help="samples to calibrate on")
    args = ap.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    calibration: list[Sample] = []
    for path in sorted(args.shards.glob("*.npz")):
        if path.name in {"word-00000.npz", "line-00000.npz", "real.npz"}:
            found = read(path)
            share = args.calibrate * 2 // 3 if path.name.startswith("word") else args.calibrate // 6
            calibration += random.Random(1).sample(found, min(share, len(found)))  # noqa: S311 - nothing secret is drawn
    judged = [s for p in sorted(args.shards.glob("val_*.npz")) for s in read(p)]
    stem, report = args.onnx.stem, {}
    made = {"fp32": args.onnx}
    for variant, make in {"int8": lambda s, t: int8(s, t, calibration), "dynamic": dynamic, "fp16": fp16}.items():
        made[variant] = args.out / f"{stem}-{variant}.onnx"
        make(args.onnx, made[variant])
    for variant, path in made.items():
        score, milliseconds = measure(path, judged)
        lost = report["fp32"]["exact"] - score.exact if report else 0.0
        report[variant] = {"exact": score.exact, "char": score.char, "ci": score.ci, "lost": lost, "ms_a_line": milliseconds,
                           "megabytes": path.stat().st_size / 1e6, "passed": lost <= LOSS_ALLOWED}  # fmt: skip
        log.info("%-8s exact %.4f char %.4f lost %+.4f  %.2f ms  %.2f MB  %s", variant, score.exact, score.char, lost, milliseconds,
                 report[variant]["megabytes"], "kept" if lost <= LOSS_ALLOWED else "does not pass")  # fmt: skip
    (args.out / f"{stem}-quantised.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
