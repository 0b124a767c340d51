"""Quantisation: a network of our own against its 32-bit self, and the shipped pictures."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ocrfarm_models import calibration, graph, registry
from ocrfarm_models.quantize import Plan, observed, quantize, tensors
from ocrfarm_models.sessions import Session, simplified


def network(seed: int) -> onnx.ModelProto:
    """Two branches of convolutions, a squeeze-and-excitation block, a sum, a pooling, a fully connected layer."""
    rng = np.random.default_rng(seed)

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.4, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "c1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "r1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "c2", pads=[1, 1, 1, 1], group=8),
        helper.make_node("Conv", ["r1", "w3"], ["c3"], "c3"),
        helper.make_node("Add", ["c2", "c3"], ["sum"], "sum"),
        helper.make_node("GlobalAveragePool", ["sum"], ["mean"], "mean"),
        helper.make_node("Conv", ["mean", "w4", "b4"], ["c4"], "c4"),
        helper.make_node("HardSigmoid", ["c4"], ["gate"], "gate"),
        helper.make_node("Mul", ["sum", "gate"], ["gated"], "gated"),
        helper.make_node("MaxPool", ["gated"], ["pooled"], "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pooled", "w5", "b5"], ["c5"], "c5"),
        helper.make_node("Reshape", ["c5", "shape"], ["flat"], "flat"),
        helper.make_node("MatMul", ["flat", "w6"], ["y"], "y"),
    ]
    weights = [
        constant("w1", 8, 3, 3, 3), constant("b1", 8), constant("w2", 8, 1, 3, 3), constant("b2", 8), constant("w3", 8, 8, 1, 1),
        constant("w4", 8, 8, 1, 1), constant("b4", 8), constant("w5", 4, 8, 1, 1), constant("b5", 4), constant("w6", 64, 10),
        numpy_helper.from_array(np.array([1, 64]), "shape"),
    ]  # fmt: skip
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        weights,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", graph.OPSET)], ir_version=8)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)


def eight_bit(model: onnx.ModelProto, plan: Plan) -> onnx.ModelProto:
    names = tensors(model, plan)
    session = Session(observed(model, names).SerializeToString())
    seen = np.array([[float(v) for v in session.run(picture(n))] for n in range(40)]).reshape(40, -1, 2)
    return quantize(
        model, {n: (lo, hi) for n, lo, hi in zip(names, seen[..., 0].min(0), seen[..., 1].max(0), strict=True)}, plan
    )


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([127, 63]))
def test_a_network_in_eight_bits_answers_nearly_the_same(seed: int, qmax: int) -> None:
    model = network(seed)
    made = eight_bit(model, Plan(qmax=qmax))
    before, after = Session(model.SerializeToString()), Session(made.SerializeToString())
    answers = np.array([[s.run(picture(n))[0] for n in range(40)] for s in (before, after)])
    spread = answers[0].std()
    assert np.abs(answers[0] - answers[1]).mean() < (0.04 if qmax == 127 else 0.06) * spread + 0.01


def test_what_is_kept_stays_in_32_bits_and_so_do_squeezed_layers() -> None:
    made = eight_bit(network(1), Plan(keep=frozenset({"c5"})))
    integers = {t.name for t in made.graph.initializer if t.data_type == TensorProto.INT8}
    layers = {name.removesuffix("__w__q") for name in integers if name.endswith("__w__q")}
    assert layers == {"c1", "c2", "c3", "y"}
    assert tensors(network(1), Plan()) != tensors(network(1), Plan(keep=frozenset({"c1"})))


def test_weights_have_a_scale_a_channel_and_no_greater_value_than_asked() -> None:
    made = eight_bit(network(2), Plan(qmax=63))
    values = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    assert values["c1__w__s"].shape == (8,)
    assert values["y__w__s"].shape == (10,)
    assert max(int(np.abs(v).max()) for n, v in values.items() if n.endswith("__w__q")) == 63
    assert np.allclose(
        values["c1__w__q"] * values["c1__w__s"][:, None, None, None],
        next(numpy_helper.to_array(t) for t in network(2).graph.initializer if t.name == "w1"),
        atol=float(values["c1__w__s"].max()) / 2 + 1e-6,
    )


def test_simplifying_changes_no_answer() -> None:
    model = network(3)
    plain, simple = Session(model.SerializeToString()), Session(simplified(model.SerializeToString()))
    assert np.allclose(plain.run(picture(0))[0], simple.run(picture(0))[0], atol=1e-5)


def test_only_a_graph_that_ends_in_a_softmax_is_reduced() -> None:
    with pytest.raises(ValueError, match="not in a softmax"):
        graph.reduce_output(network(0))


def test_metadata_outlive_the_upgrade() -> None:
    model = onnx.load(registry.source_path(registry.row("ppocrv6-rec")))
    before = {p.key: p.value for p in model.metadata_props}
    upgraded = graph.upgrade(model)
    assert {p.key: p.value for p in upgraded.metadata_props} == before
    assert upgraded.opset_import[0].version == graph.OPSET


def test_the_pictures_that_ship_are_small_and_fit_the_models() -> None:
    files = list(calibration.PICTURES.glob("*.webp"))
    assert sum(f.stat().st_size for f in files) < 1_000_000
    lines = list(calibration.inputs(registry.row("ppocrv6-rec")))
    pages = list(calibration.inputs(registry.row("ppocrv6-det")))
    assert len(lines) >= 100
    assert len(pages) >= 6
    assert {x.shape[1:3] for x in lines} == {(3, 48)}
    assert all(x.shape[2] % 32 == 0 and x.shape[3] % 32 == 0 for x in pages)
