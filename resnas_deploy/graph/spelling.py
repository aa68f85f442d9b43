"""Spellings: which operators the graph says the same algebra with.

A compiler makes more or fewer kernels of one or another, and a runtime for CPUs may be faster with the one that a
compiler for GPUs fuses worst, so each target has its own. All were chosen by measurement (docs/graph.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from resnas_deploy.errors import BadInput, shown

OPERATOR, PACKED = "operator", "packed"  # of attention
VIEWS, GRID = "views", "grid"  # of reductions
MATMUL, GEMM = "matmul", "gemm"  # of blocks' linears

_ATTENTION = {
    OPERATOR: "three linears and the Attention operator on (B, T, C)",
    PACKED: "one linear, a view (B, T, 3, heads, head_dim) moved and split, two products around a softmax",
}
_REDUCTION = {
    VIEWS: "norm, then slices of it; pooling as means of two rows and of two columns, over views of the tokens",
    GRID: "norm of a grid whose last row is the class token's; two convolutions; pooling as a mean of four slices",
}
_LINEARS = {GEMM: "those with a bias are a Gemm on (B*T, C), the others a MatMul"}


@dataclass(frozen=True)
class Spelling:
    """A named choice of operators for attention, for residual reductions and for the linears of blocks."""

    attention: str
    reduction: str
    linears: str = MATMUL

    @property
    def name(self) -> str:
        """The choices, as `export(spelling=..)` takes them; linears are told where they are not the usual ones."""
        return "+".join([self.attention, self.reduction, *([self.linears] if self.linears != MATMUL else [])])

    def describe(self, chosen: str = "") -> dict[str, str]:
        """Say what it means, for the manifest; and how and where it was `chosen`, if it was measured."""
        return ({"chosen": chosen} if chosen else {}) | {
            "name": self.name,
            "attention": _ATTENTION[self.attention],
            "reduction": _REDUCTION[self.reduction],
            **({"linears": _LINEARS[self.linears]} if self.linears in _LINEARS else {}),
            "last block": "keys and values of all tokens, the rest of the class token alone",
        }


FOR_RUNTIMES = Spelling(OPERATOR, VIEWS)  # ONNX Runtime and OpenVINO
FOR_TENSORRT = Spelling(PACKED, GRID)
WITH_GEMM = Spelling(OPERATOR, VIEWS, GEMM)  # ONNX Runtime with one thread and small batches (docs/graph.md)
SPELLINGS = {
    spelling.name: spelling
    for spelling in (*(Spelling(*choices) for choices in product(_ATTENTION, _REDUCTION)), WITH_GEMM)
}


def spelling_named(name: str) -> Spelling:
    """Return the spelling of that name. Raise `BadInput` that lists the known ones."""
    if name not in SPELLINGS:
        raise BadInput(f"`spelling` must be one of {', '.join(SPELLINGS)}, found {shown(name)}")
    return SPELLINGS[name]
