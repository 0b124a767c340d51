"""Export a checkpoint as the ONNX file that the farm serves: `python -m ocrfarm_models.training.export best.pt crnn-en.onnx`.

Input `x`: float32 N x 1 x 32 x W. Outputs, reduced in the graph so that no N x T x classes tensor leaves it: `index` (int64 N x T,
the best class of each step) and `confidence` (float32 N x T, its probability). The metadata carries the charset, the blank, the
input rule and where the weights come from. The export ends with a check against torch at several batch sizes and widths.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from ocrfarm_models.training.alphabet import Alphabet
from ocrfarm_models.training.networks import build
from ocrfarm_models.training.rule import LINE_RULE, STRIDE

log = logging.getLogger(__name__)
OPSET = 17
RECIPE = "1"  # raised when input rule or outputs change


class Reduced(nn.Module):
    """A network whose logits are reduced to the best class and its probability."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return index (int64 N x T) and confidence (float32 N x T)."""
        confidence, index = self.network(x).softmax(2).max(2)
        return index, confidence


def load_network(path: Path) -> tuple[nn.Module, Alphabet, dict[str, object]]:
    """Return a checkpoint's averaged network in evaluation mode, its alphabet and everything else it keeps."""
    kept = torch.load(path, weights_only=True)
    alphabet = Alphabet(kept["characters"])
    network = build(kept["config"]["network"], len(alphabet), **kept["config"]["network_options"])
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in kept["average"].items()})
    return network.eval(), alphabet, kept


def metadata(alphabet: Alphabet, kept: dict[str, object]) -> dict[str, str]:
    """Return the ONNX metadata: how to read with this file, and where it comes from."""
    config = kept["config"]
    assert isinstance(config, dict)
    return {
        "charset": json.dumps(alphabet.characters, ensure_ascii=False),
        "blank": "0",
        "height": str(LINE_RULE.height),
        "channels": "1",
        "mean": str(LINE_RULE.mean),
        "std": str(LINE_RULE.std),
        "pad": str(LINE_RULE.pad),
        "multiple": str(LINE_RULE.multiple),
        "stride": str(STRIDE),
        "recipe": RECIPE,
        "trained": json.dumps(
            {
                "name": config["name"],
                "network": config["network"],
                "options": config["network_options"],
                "steps": kept["step"],
                "samples": kept["samples"],
                "seed": config["seed"],
            }
        ),
    }


def export(network: nn.Module, path: Path, notes: dict[str, str]) -> None:
    """Write the ONNX file."""
    reduced = Reduced(network).eval()
    x = torch.rand(2, 1, LINE_RULE.height, 160) * 2 - 1
    axes = {"x": {0: "n", 3: "w"}, "index": {0: "n", 1: "t"}, "confidence": {0: "n", 1: "t"}}
    with (
        warnings.catch_warnings()
    ):  # the newer exporter unrolls LSTMs or fixes their batch; this one keeps both axes free
        warnings.simplefilter("ignore")
        torch.onnx.export(
            reduced,
            (x,),
            str(path),
            input_names=["x"],
            output_names=["index", "confidence"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def check_parity(network: nn.Module, path: Path) -> float:
    """Compare torch and ONNX Runtime on random lines; return the largest difference, raise where it matters."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    reduced, worst = Reduced(network).eval(), 0.0
    generator = torch.Generator().manual_seed(1)
    for n, w in ((1, 32), (1, 640), (3, 112), (8, 320)):
        x = torch.rand(n, 1, LINE_RULE.height, w, generator=generator) * 2 - 1
        x[n // 2, :, :, w // 2 :] = 0.0  # padding
        with torch.no_grad():
            index, confidence = reduced(x)
        got_index, got_confidence = session.run(["index", "confidence"], {"x": x.numpy()})
        worst = max(worst, float(np.abs(got_confidence - confidence.numpy()).max()))
        differ = float((got_index != index.numpy()).mean())
        if worst > 1e-3 or differ > 0.005:
            raise RuntimeError(
                f"{path} disagrees with torch at {n} x {w}: confidence by {worst:.2g}, {differ:.2%} of the steps"
            )
    return worst


def main() -> None:
    """Export and check."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("checkpoint", type=Path)
    ap.add_argument("onnx", type=Path)
    args = ap.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    network, alphabet, kept = load_network(args.checkpoint)
    export(network, args.onnx, metadata(alphabet, kept))
    worst = check_parity(network, args.onnx)
    log.info("%s: %.2f MB, confidence within %.1e of torch", args.onnx, args.onnx.stat().st_size / 1e6, worst)


if __name__ == "__main__":
    main()
