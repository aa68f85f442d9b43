"""Small ONNX files as other people's exporters write them: other names, types and shapes, weights beside the graph."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, WIDTH, CLASSES = 16, 8, 5
TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


def weights(seed=0):
    """The weights of `network`, by name."""
    rng = np.random.default_rng(seed)
    shapes = {"kernel": (WIDTH, 3, 4, 4), "shift": (WIDTH,), "head": (WIDTH, CLASSES)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def network(
    *,
    dtype="float32",
    shape=("batch", 3, SIDE, SIDE),
    names=("pixel_values", "scores"),
    inner=("features", "pooled"),
    seed=0,
    end="MatMul",
):
    """A convolution, its mean, and a head; the features are an output too, the first one."""
    kind, (images, scores), (features, pooled) = TYPES[dtype], names, inner
    tensors = [numpy_helper.from_array(value.astype(dtype), name) for name, value in weights(seed).items()]
    nodes = [
        helper.make_node("Conv", [images, "kernel", "shift"], [features], strides=[4, 4], name="conv"),
        helper.make_node("ReduceMean", [features, "axes"], [pooled], keepdims=0, name="pool"),
        helper.make_node("MatMul", [pooled, "head"], [scores if end == "MatMul" else "raw"], name="head"),
    ]
    if end != "MatMul":
        nodes.append(helper.make_node(end, ["raw"], [scores], name="end"))
    tensors.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
    graph = helper.make_graph(
        nodes,
        "another",
        [helper.make_tensor_value_info(images, kind, shape)],
        [
            helper.make_tensor_value_info(features, kind, None),
            helper.make_tensor_value_info(scores, kind, ["batch", CLASSES]),
        ],
        tensors,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10, producer_name="somebody's exporter"
    )


def logits(images, seed=0):
    """What `network` makes of images, by NumPy: float32 (B, CLASSES)."""
    given = weights(seed)
    side = SIDE // 4
    patches = images.reshape(len(images), 3, side, 4, side, 4).transpose(0, 2, 4, 1, 3, 5).reshape(len(images), -1, 48)
    features = patches @ given["kernel"].reshape(WIDTH, -1).T + given["shift"]
    return features.mean(1) @ given["head"]


def save(model, path, *, beside=""):
    """Write a model; its weights into a file beside it where that has a name."""
    if beside:
        path.with_name(beside).unlink(missing_ok=True)
    options = {"save_as_external_data": True, "location": beside, "size_threshold": 0} if beside else {}
    onnx.save(model, path, **options)
    return path
