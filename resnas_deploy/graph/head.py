"""Emits the head: final norm and linear on the class token."""

from __future__ import annotations

from collections.abc import Mapping

from resnas_deploy.arch.elements import HeadElement
from resnas_deploy.graph import fold
from resnas_deploy.graph.builder import GraphBuilder
from resnas_deploy.weights.checkpoint import Array


def emit_head(graph: GraphBuilder, head: HeadElement, tensors: Mapping[str, Array], x: str, epsilon: float) -> str:
    """The class token `(B, 1, C)`, all that the last block leaves, to logits `(B, classes)`."""
    name, width, classes = head.name, head.width, head.classes
    linear, scale, shift = tensors["linear.weight"], tensors["norm.weight"], tensors["norm.bias"]
    x = graph.node("Squeeze", [x, graph.ints(1)], f"{name}.class_token")
    x = graph.normalise(x, f"{name}.norm", width, epsilon)
    weight = graph.weight(f"{name}.linear.weight", (classes, width), lambda: fold.norm_scale_into_linear(linear, scale))
    bias = graph.weight(
        f"{name}.linear.bias", (classes,), lambda: fold.norm_shift_into_bias(linear, tensors["linear.bias"], shift)
    )
    return graph.node("Gemm", [x, weight, bias], f"{name}.linear", transB=1)
