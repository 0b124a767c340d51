"""Static 8-bit quantisation of a convolutional network (Jacob et al., 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference").

A pair of nodes, QuantizeLinear and DequantizeLinear, is put round each layer that is to run in 8 bits; ONNX Runtime folds layer
and pairs into one integer kernel. Activations are unsigned, one scale a tensor, its range taken from calibration pictures;
weights are signed, one scale an output channel.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Ranges = dict[str, tuple[float, float]]

# Layers that move values without changing them: what comes out has the scale of what went in.
_SAME_SCALE = {"MaxPool", "Resize", "Reshape", "Transpose", "Squeeze"}
_LAYERS = {"Conv", "MatMul"}


@dataclass(frozen=True)
class Plan:
    """What of a network runs in 8 bits.

    keep      layers that stay in 32 bits, by name, besides those of squeeze-and-excitation blocks: these work on one value
              a channel, so that 8 bits cost accuracy there and save nothing
    join      kinds of node that run in 8 bits where all their inputs are in 8 bits already
    qmax      largest weight: 127, or 63 on processors whose 8-bit multiply-add saturates at 16 bits (x86 without VNNI)
    """

    keep: frozenset[str] = frozenset()
    join: frozenset[str] = frozenset({"Add", "Concat", "MaxPool", "Resize"})
    qmax: int = field(default_factory=lambda: weight_limit())


def weight_limit() -> int:
    """The largest weight that is safe on this processor."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return 127
    try:
        flags = Path("/proc/cpuinfo").read_text("utf8").split()
    except OSError:
        return 63
    return 127 if {"avx512_vnni", "avx_vnni"} & set(flags) else 63


def quantize(model: onnx.ModelProto, ranges: Ranges, plan: Plan) -> onnx.ModelProto:
    """The model with its layers in 8 bits. `ranges` holds the least and greatest value of each of `tensors(model, plan)`."""
    return _Quantizer(model, ranges, plan).run()


def tensors(model: onnx.ModelProto, plan: Plan) -> list[str]:
    """The activations that are held in 8 bits, whose ranges quantising needs."""
    return list(_Quantizer(model, {}, plan).quantised)


def observed(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with two more outputs for each named tensor: its least and its greatest value, float32, no shape."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.output[:]
    for name in names:
        for kind in ("Min", "Max"):
            target = f"{name}__{kind.lower()}"
            out.graph.node.append(helper.make_node(f"Reduce{kind}", [name], [target], target, keepdims=0))
            out.graph.output.append(helper.make_tensor_value_info(target, TensorProto.FLOAT, []))
    return out


def _is_layer(node: onnx.NodeProto, constants: set[str]) -> bool:
    return node.op_type in _LAYERS and node.input[1] in constants and node.input[0] not in constants


def _squeezed(graph: onnx.GraphProto) -> set[str]:
    """Layers that work on the mean of a whole feature map (Hu et al., 2018, "Squeeze-and-Excitation Networks")."""
    means: set[str] = set()
    found: set[str] = set()
    for node in graph.node:
        if node.op_type in ("ReduceMean", "GlobalAveragePool"):
            means.add(node.output[0])
        elif node.op_type in ("Conv", "Relu", "HardSigmoid") and node.input[0] in means:
            means.add(node.output[0])
            found.add(node.name)
    return found


class _Quantizer:
    def __init__(self, model: onnx.ModelProto, ranges: Ranges, plan: Plan) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.graph = self.model.graph
        self.plan = plan
        self.ranges = ranges
        self.weights = {t.name: numpy_helper.to_array(t) for t in self.graph.initializer}
        self.scales: dict[str, tuple[np.float32, np.uint8]] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.new: list[onnx.TensorProto] = []
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
        self.producers = {o: n for n in self.graph.node for o in n.output}
        self.outputs = {o.name for o in self.graph.output}
        keep = plan.keep | _squeezed(self.graph)
        self.layers = {n.name for n in self.graph.node if _is_layer(n, set(self.weights)) and n.name not in keep}
        self.quantised = self._choose(self.layers)

    def run(self) -> onnx.ModelProto:
        layers, quantised = self.layers, self.quantised
        shared = self._shared_scales(quantised)
        for name in quantised:
            root = shared.get(name, name)
            if root not in self.scales:
                self.scales[root] = _scale(*self.ranges[root])
            self.scales[name] = self.scales[root]
        made: set[str] = set()
        for name in quantised:
            if name not in self.producers:
                made.add(name)
                self._pair(name)
        for node in self.graph.node:
            if node.name in layers:
                self._layer(node)
            inputs = [f"{i}__dq" if i in made and self._wants(node, i, layers, quantised) else i for i in node.input]
            del node.input[:]
            node.input.extend(inputs)
            self.nodes.append(node)
            for name in node.output:
                if name in quantised:
                    made.add(name)
                    self._pair(name)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        used = {i for n in self.nodes for i in n.input}
        kept = [t for t in self.graph.initializer if t.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend([*kept, *self.new])
        onnx.checker.check_model(self.model)
        return self.model

    def _choose(self, layers: set[str]) -> dict[str, None]:
        """Tensors that are held in 8 bits, in the graph's order."""
        chosen: dict[str, None] = {}
        for node in self.graph.node:
            if node.name in layers:
                chosen[node.input[0]] = None
        for node in self.graph.node:
            out = node.output[0]
            if node.name in layers and node.op_type == "Conv":
                users = self.consumers.get(out, [])
                if len(users) == 1 and users[0].op_type == "Relu":
                    chosen[users[0].output[0]] = None
                elif users and out not in self.outputs:
                    chosen[out] = None
            elif node.op_type in self.plan.join and node.name not in self.plan.keep:
                data = node.input[:1] if node.op_type in _SAME_SCALE else node.input
                if all(i in chosen for i in data) and out not in self.outputs and self.consumers.get(out):
                    chosen[out] = None
        return {n: None for n in chosen if n in self.producers or n in {i.name for i in self.graph.input}}

    def _shared_scales(self, quantised: dict[str, None]) -> dict[str, str]:
        roots: dict[str, str] = {}
        for node in self.graph.node:
            if node.op_type in _SAME_SCALE and node.output[0] in quantised and node.input[0] in quantised:
                roots[node.output[0]] = roots.get(node.input[0], node.input[0])
        return roots

    def _wants(self, node: onnx.NodeProto, name: str, layers: set[str], quantised: dict[str, None]) -> bool:
        """Whether the node reads the 8-bit form: integer kernels do; others only where no float form is left."""
        maker = self.producers.get(name)
        if maker is not None and (maker.name in layers or maker.op_type in self.plan.join | {"Relu"}):
            return True
        return node.name in layers or node.output[0] in quantised

    def _pair(self, name: str) -> None:
        scale, zero = self.scales[name]
        self.new += [
            numpy_helper.from_array(np.array(scale), f"{name}__s"),
            numpy_helper.from_array(np.array(zero), f"{name}__z"),
        ]
        parameters = [f"{name}__s", f"{name}__z"]
        self.nodes += [
            helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}__q"], f"{name}__Q"),
            helper.make_node("DequantizeLinear", [f"{name}__q", *parameters], [f"{name}__dq"], f"{name}__DQ"),
        ]

    def _layer(self, node: onnx.NodeProto) -> None:
        """Weights (and a convolution's bias) as integers with a DequantizeLinear behind them."""
        weight = self.weights[node.input[1]]
        axis = 0 if node.op_type == "Conv" else weight.ndim - 1
        rest = tuple(a for a in range(weight.ndim) if a != axis)
        scale = np.maximum(np.abs(weight).max(axis=rest), 1e-8).astype(np.float32) / np.float32(self.plan.qmax)
        shape = [-1 if a == axis else 1 for a in range(weight.ndim)]
        integers = np.clip(np.rint(weight / scale.reshape(shape)), -self.plan.qmax, self.plan.qmax).astype(np.int8)
        node.input[1] = self._constant(f"{node.name}__w", integers, scale, axis)
        if node.op_type == "Conv" and len(node.input) > 2:
            step = scale * self.scales[node.input[0]][0]
            bias = np.rint(self.weights[node.input[2]].astype(np.float64) / step)
            bias = np.clip(bias, -(2**31) + 1, 2**31 - 1).astype(np.int32)
            node.input[2] = self._constant(f"{node.name}__b", bias, step.astype(np.float32), 0)

    def _constant(self, name: str, integers: NDArray[np.generic], scale: NDArray[np.float32], axis: int) -> str:
        zero = np.zeros(scale.shape, integers.dtype)
        for suffix, value in (("q", integers), ("s", scale), ("z", zero)):
            self.new.append(numpy_helper.from_array(value, f"{name}__{suffix}"))
        inputs = [f"{name}__{s}" for s in "qsz"]
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], f"{name}__DQ", axis=axis))
        return name


def _scale(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of an unsigned 8-bit tensor that spans low..high; 0 is always one of its values."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max(high - low, 1e-8) / 255)
    return scale, np.uint8(np.clip(round(-low / float(scale)), 0, 255))
