"""Graph surgery: what is done to a recogniser's ONNX file before it is run."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

OPSET = 17


def upgrade(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model at opset 17: per-channel quantisation needs 13, and ONNX Runtime fuses layer norms from 17."""
    metadata = {p.key: p.value for p in model.metadata_props}
    if model.opset_import[0].version < OPSET:
        model = version_converter.convert_version(model, OPSET)
    model.ir_version = max(model.ir_version, 8)
    del model.metadata_props[:]
    helper.set_model_props(model, metadata)
    return model


def scaled_as_it_runs(model: onnx.ModelProto) -> bool:
    """Whether it measures the range of what it is given and rounds by that (dynamic quantisation): then what comes out for one line hangs a
    little on the lines that it is run with."""
    return any(node.op_type.startswith("DynamicQuantize") for node in model.graph.node)


def reduce_output(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace the probabilities of all classes, (N, T, classes), by `index` int64 (N, T) and `confidence` float32 (N, T).

    A line of 80 columns and 18,710 classes is 6 MB of probabilities; what decoding needs of them is 960 bytes. Raises
    ValueError where the graph does not end in a softmax over its last axis.
    """
    graph = model.graph
    (output,) = graph.output
    producers = {name: node for node in graph.node for name in node.output}
    if producers[output.name].op_type != "Softmax":
        raise ValueError(f"the graph ends in {producers[output.name].op_type}, not in a softmax")
    # TopK with k = 1 is the fastest way to the maximum and its place that ONNX Runtime has; ArgMax takes twice as long.
    graph.initializer.extend(
        [numpy_helper.from_array(np.array([1]), "reduce_k"), numpy_helper.from_array(np.array([-1]), "reduce_axis")]
    )
    graph.node.extend(
        [
            helper.make_node(
                "TopK", [output.name, "reduce_k"], ["reduce_value", "reduce_place"], "reduce_top", axis=-1
            ),
            helper.make_node("Squeeze", ["reduce_value", "reduce_axis"], ["confidence"], "reduce_confidence"),
            helper.make_node("Squeeze", ["reduce_place", "reduce_axis"], ["index"], "reduce_index"),
        ]
    )
    del graph.output[:]
    graph.output.extend(
        [
            helper.make_tensor_value_info("index", TensorProto.INT64, ["lines", "columns"]),
            helper.make_tensor_value_info("confidence", TensorProto.FLOAT, ["lines", "columns"]),
        ]
    )
    onnx.checker.check_model(model)
    return model


def show_posteriors(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the probabilities of all classes, float32 (N, T, classes), as a further output `posterior`.

    For models of few classes: certainty (certainty.py) asks more of a line than its best path. Raises ValueError where the
    graph's outputs do not come from one softmax over the last axis.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    sources = {name for output in graph.output for name in producers[output.name].input[:1]}
    found = [n for n in sources if n in producers and producers[n].op_type == "Softmax"]
    if len(found) != 1:
        raise ValueError("the outputs do not come from one softmax")
    graph.node.append(helper.make_node("Identity", found, ["posterior"], "show_posterior"))
    shape = ["lines", "columns", "classes"]
    graph.output.append(helper.make_tensor_value_info("posterior", TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)
    return model
