"""What OpenVINO makes wrong of attention with as many heads as query tokens, and the form in which it makes it right.

Seen with 2026.4.1 on a CPU with AVX512-BF16: where attention is computed in bf16 or fp16 in one subgraph (Snippets) and
the shapes are known, the query's Transpose to [batch, heads, tokens, head_dim] is lost if heads = tokens, so that it
changes no shape: errors as large as the values. With one dimension more the Transpose is a node of its own, and right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from resnas_deploy.processes.quiet import import_quietly

ov = import_quietly("openvino")

_HEADS_FIRST = [0, 2, 1, 3]


def keep_apart(model: Any) -> None:
    """Give each Transpose of [batch, n, n, head_dim], n > 1, to heads a dimension of 1 more, in place."""
    ops = ov.opset13
    for operation in model.get_ordered_ops():
        if operation.get_type_name() == "Transpose" and _is_mixed_up(operation):
            apart = ops.reshape(operation.input_value(0), np.array([0, 0, 0, 1, -1]), True)
            turned = ops.transpose(apart, np.array([0, 2, 1, 3, 4]))
            together = ops.reshape(turned, np.array([0, 0, 0, -1]), True)
            together.set_friendly_name(operation.get_friendly_name())
            together.output(0).get_tensor().set_names(operation.output(0).get_names())
            for reader in operation.output(0).get_target_inputs():
                reader.replace_source_output(together.output(0))


def _is_mixed_up(transpose: Any) -> bool:
    """Tell whether it exchanges two dimensions of one size, which is known and more than 1."""
    order = transpose.input_value(1).get_node()
    shape = transpose.input_value(0).get_partial_shape()
    if order.get_type_name() != "Constant" or list(order.data) != _HEADS_FIRST:
        return False
    if shape.rank.is_dynamic or shape[1].is_dynamic:
        return False
    return bool(shape[1] == shape[2] and shape[1].get_length() > 1)
