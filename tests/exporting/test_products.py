"""Attention as two products around a softmax is the same function, and what is more than that stays an operator."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, inliner
from support.small_export import SMALL

from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.products import attentions, with_products
from resnas_deploy.graph.emit import emit
from resnas_deploy.images.samples import noise
from resnas_deploy.precision import precision_named, relative_error
from resnas_deploy.weights.checkpoint import untrained

TOLERANCE = 1e-5  # float32 sums in another order


def ran(model, **inputs):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def copied(model):
    found = onnx.ModelProto()
    found.CopyFrom(model)
    return found


def test_an_emitted_network_computes_the_same(tmp_path):
    path = tmp_path / "model.onnx"
    emit(untrained(SMALL, seed=1), precision_named("fp32"), BatchRange(1, 4)).write(path)
    before = inliner.inline_local_functions(onnx.load(path))
    names = attentions(before)
    assert (
        names
        == tuple(f"stage{s}.block{b}.attention" for s, blocks in ((1, (1, 2)), (2, (1,)), (3, (1, 2))) for b in blocks)[
            : len(names)
        ]
    )
    after = with_products(copied(before), names[:-1])
    onnx.checker.check_model(after, full_check=True)
    assert attentions(after) == names[-1:]
    kinds = Counter(node.op_type for node in after.graph.node)
    assert kinds["Softmax"] == len(names) - 1
    images = noise(3, SMALL.image_size)
    error = relative_error(ran(after, images=images), ran(before, images=images))
    assert error <= TOLERANCE, f"largest difference {error:.1e}, tolerance {TOLERANCE:g}"


def attention(rank=4, **attributes):
    """A graph of one operator: q (2, 3, 5, 8), k and v of 7 tokens, or as (B, T, C) in three dimensions."""
    sizes = {"q": 5, "k": 7, "v": 7}
    shapes = {name: (2, 3, tokens, 8) if rank == 4 else (2, tokens, 24) for name, tokens in sizes.items()}
    node = helper.make_node("Attention", list(shapes), ["out"], name="net/attention", **attributes)
    graph = helper.make_graph(
        [node],
        "attention",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11), values


@pytest.mark.parametrize(
    "asked",
    [{"scale": 1.0}, {"scale": 0.25}, {"rank": 3, "scale": 0.5, "q_num_heads": 3, "kv_num_heads": 3}],
    ids=str,
)
def test_others_are_the_same_too(asked):
    model, values = attention(**asked)
    after = with_products(copied(model), ["net/attention"])
    assert {"net/attention.scores", "net/attention.softmax", "net/attention.weighted"} <= {
        node.name for node in after.graph.node
    }
    assert relative_error(ran(after, **values), ran(model, **values)) <= TOLERANCE


@pytest.mark.parametrize(
    "asked",
    [
        {"scale": 1.0, "is_causal": 1},
        {"scale": 1.0, "softcap": 5.0},
        {"rank": 3, "scale": 1.0, "q_num_heads": 6, "kv_num_heads": 3},
        {},  # whose scale hangs on a size that may not be known
    ],
    ids=str,
)
def test_what_computes_more_stays(asked):
    model, _ = attention(**asked)
    assert attentions(model) == ()
    assert with_products(copied(model), ["net/attention"]) == model
