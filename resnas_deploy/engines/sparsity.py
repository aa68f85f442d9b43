"""Whether the weights of a graph are 2:4 sparse: of each four in a row that are multiplied and summed, two are zero.

That is what the sparse tensor cores of compute capability 8.0 and above want (NVIDIA, "Structured Sparsity" in the
TensorRT documentation): along the input channels of a convolution, and along the summed axis of a product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resnas_deploy.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto


def check_sparse(model: ModelProto) -> str:
    """Return how many products of a graph have 2:4 sparse weights, in words. Raise `BadInput` where none has."""
    counts = [is_sparse(weights, axis) for weights, axis in _weights(model)]
    found = f"{sum(counts)} of {len(counts)} products with weights"
    if not any(counts):
        raise BadInput(
            f"`sparse_weights` must come with weights of which two in each four are zero, found them in {found}; "
            "prune and tune the network first, or leave it out"
        )
    return found


def is_sparse(weights: NDArray[np.generic], axis: int) -> bool:
    """Whether, along an axis, no four in a row from a multiple of four on have more than two that are not zero."""
    along = np.moveaxis(weights != 0, axis, -1)
    size = along.shape[-1]
    if size % 4 or not size:
        return False
    return bool((along.reshape(-1, size // 4, 4).sum(-1) <= 2).all())


def _weights(model: ModelProto) -> list[tuple[NDArray[np.generic], int]]:
    """Return the weights of each product, (K, N) or (O, I, H, W), and the axis that is summed."""
    from onnx import inliner, numpy_helper

    graph = inliner.inline_local_functions(model).graph
    known = {tensor.name: tensor for tensor in graph.initializer}
    found: list[tuple[NDArray[np.generic], int]] = []
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm", "Conv") or node.input[1] not in known:
            continue
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        weights = numpy_helper.to_array(known[node.input[1]])
        found.append((weights, 1 if node.op_type == "Conv" or transposed else weights.ndim - 2))
    return found
