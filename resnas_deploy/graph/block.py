"""Emits a transformer block: attention, and the MLP."""

from __future__ import annotations

from collections.abc import Mapping

from resnas_deploy.arch.elements import BlockElement
from resnas_deploy.graph import fold
from resnas_deploy.graph.attention import ATTENTION
from resnas_deploy.graph.nodes import GraphBuilder
from resnas_deploy.graph.spelling import GEMM, Spelling
from resnas_deploy.weights.checkpoint import Array


def emit_block(
    graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float, spelling: Spelling
) -> str:
    """Emit `(B, T, C)` to `(B, T, C)`; of the last block, whose other tokens nobody reads, to `(B, 1, C)`.

    The last block computes keys and values of all tokens, and all else of the class token alone: the same logits.
    `epsilon` is that of both norms.
    """
    name = element.name
    x, attended = ATTENTION[spelling.attention](graph, element, tensors, x, epsilon)
    x = graph.node("Add", [x, attended], f"{name}.attention.add")
    mlp = _mlp(graph, element, tensors, x, epsilon)
    if spelling.linears != GEMM:
        return graph.node("Add", [x, mlp], f"{name}.mlp.add", output=name)
    x = graph.node("Add", [x, mlp], f"{name}.mlp.add")
    return graph.tokens(x, name, 1 if element.last else element.side**2 + 1, element.width, output=name)


def _mlp(graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float) -> str:
    name, width, hidden = f"{element.name}.mlp", element.width, element.block.hidden
    fc1, fc2, scale, shift = (
        tensors[part] for part in ("mlp.fc1.weight", "mlp.fc2.weight", "norm2.weight", "norm2.bias")
    )
    x = graph.normalise(x, f"{element.name}.norm2", width, epsilon)
    x = graph.affine(
        x,
        f"{name}.fc1",
        (hidden, width),
        lambda: fold.norm_scale_into_linear(fc1, scale),
        lambda: fold.norm_shift_into_bias(fc1, tensors["mlp.fc1.bias"], shift),
    )
    x = graph.node("Gelu", [x], f"{name}.gelu")
    return graph.affine(x, f"{name}.fc2", (width, hidden), lambda: fc2, lambda: tensors["mlp.fc2.bias"])
