"""How a graph is quantised: types for each kind of runtime, which nodes, and which parts keep the precision around.

A part (`unit`) is what can be left out: `stem`, `reduction1`, and of a block its two halves, `stage1.block1.attention`
and `stage1.block1.mlp`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto, NodeProto

from resnas_deploy.arch.elements import BlockElement, HeadElement, elements
from resnas_deploy.arch.mixer import WINDOW
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.ort_operators import DOMAIN, PRODUCT
from resnas_deploy.artifact.written_for import OPENVINO, ORT_CPU
from resnas_deploy.errors import BadInput, first_few, shown
from resnas_deploy.precision import AROUND_QUANTISED, QUANTISED

HALVES = ("attention", "mlp")  # of a block
_UNIT = re.compile(rf"(?:stage\d+\.block\d+\.(?:{'|'.join(HALVES)})|stem|reduction\d+)(?![A-Za-z0-9])")
# Others' attention has another name. In windows the class token's row is a node `.class`, which stays as it is.
_ATTENTION = r"(?P<block>.+?)(?:\.attention(?:\.windows\d+)?)?"
_PRODUCT, _SOFTMAX = re.compile(rf"{_ATTENTION}\.(?:scores|weighted)"), re.compile(rf"{_ATTENTION}\.softmax")
_IN_THE_STEM = ("stem.add", "stem.conv3.relu")  # between convolutions: rounded, they need not leave int8
_INT8, _FP8 = QUANTISED["int8"], QUANTISED["fp8"]


@dataclass(frozen=True)
class Scheme:
    """How a kind of runtime wants its QDQ graph."""

    precision: str  # int8 or fp8
    around: str  # the precision of what is not quantised
    asymmetric: bool  # activations as uint8 with a zero point, which CPUs multiply fastest, instead of int8
    convolutions: bool  # whether they are quantised, and what lies between those of the stem
    attention: tuple[str, ...] = ()  # the blocks of which both products of attention are quantised too
    for_runner: str = ""  # the one that it is written for, of `FOR_RUNNERS`, in the form that it gains by; empty: any
    kept: tuple[str, ...] = ()  # the units that are not quantised, as was asked
    fell_back: tuple[str, ...] = ()  # those that are not, since the graph was not accurate enough

    @property
    def softmax_step(self) -> float | None:
        """The step of the softmax's output, which lies between 0 and 1 whatever the images: 1/448, or 1/127 of int8.

        None where it is by what was seen, as other steps are: 1/255 of the largest.
        """
        return None if self.asymmetric else 1 / QUANTISED[self.precision].largest

    @property
    def written_out(self) -> tuple[str, ...]:
        """The Attention nodes to write as products around a softmax first: OpenVINO takes no pairs at the operator."""
        left = (*self.kept, *self.fell_back)
        ours = tuple(f"{name}.attention" for name in self.attention if f"{name}.attention" not in left)
        return (*ours, *self.attention) if self.for_runner == OPENVINO else ()

    def to_json(self) -> dict[str, object]:
        """Return what the manifest says."""
        activations = "uint8, asymmetric" if self.asymmetric else f"{self.precision}, symmetric"
        blocks = [name for name in self.attention if f"{name}.attention" not in (*self.kept, *self.fell_back)]
        products = "the products of attention" + (" in other blocks" if blocks else "")
        kept = ["the head", "norms", f"softmax and {products}", "GELU", "additions"]
        said: dict[str, object] = {
            "around": self.around,
            "activations": activations,
            "weights": f"{self.precision}, symmetric, a scale for each output channel",
            "kept": kept if self.convolutions else ["convolutions", *kept],
        }
        if self.for_runner == ORT_CPU:
            said["products"] = f"{DOMAIN}.{PRODUCT}, bias inside"
        if self.for_runner == OPENVINO:
            said["zero_points"] = "multiplied out into the biases of the products"
        if blocks:
            step = {"softmax_step": self.softmax_step} if self.softmax_step else {}
            said["attention"] = {"blocks": blocks, **step}
        for name, units in (("kept_elements", self.kept), ("fell_back", self.fell_back)):
            if units:
                said[name] = list(units)
        return said

    def falling_back(self, units: Sequence[str]) -> Scheme:
        """Return the scheme with these units in the precision around as well."""
        return replace(self, fell_back=tuple(units))

    def quantises(self, node: NodeProto, weights: Container[str]) -> bool:
        """Tell whether a node of the graph computes in the new precision."""
        if node.name.startswith("head.") or unit_of(node.name) in (*self.kept, *self.fell_back):
            return False
        if node.op_type == "MatMul":
            product = _PRODUCT.fullmatch(node.name)
            return node.input[1] in weights or (product is not None and product["block"] in self.attention)
        return self.convolutions and (
            node.op_type == "Conv" or (node.op_type in ("Add", "Relu") and node.name in _IN_THE_STEM)
        )

    def softmaxes(self, graph: ModelProto) -> list[str]:
        """Return the softmaxes whose output is read by a quantised product, by the names of their outputs."""
        return [
            node.output[0]
            for node in graph.graph.node
            if (found := _SOFTMAX.fullmatch(node.name))
            and found["block"] in self.attention
            and unit_of(node.name) not in (*self.kept, *self.fell_back)
        ]

    def units(self, graph: ModelProto) -> tuple[str, ...]:
        """Return the units of a graph, without functions, in which something is quantised, in order."""
        weights = {tensor.name for tensor in graph.graph.initializer}
        return tuple(dict.fromkeys(unit_of(node.name) for node in graph.graph.node if self.quantises(node, weights)))


def scheme_for(precision: str, engine: bool, for_runner: str = "") -> Scheme:
    """Return the scheme of `int8` or `fp8` for engines, for runtimes on CPUs, or for one of these in its own operators.

    In engines the convolutions keep fp16: TensorRT writes the sums of an int8 one in float32 for another kernel to
    read, the stem's are the network's largest values, and there is no e4m3 kernel for its 7x7 convolution at all.
    """
    if engine or precision == _FP8.name:
        return Scheme(precision, AROUND_QUANTISED, asymmetric=False, convolutions=False)
    return Scheme(precision, "fp32", asymmetric=True, convolutions=True, for_runner=for_runner)


def unit_of(node: str) -> str:
    """Return the unit that a node's name begins with; empty where it is none's."""
    found = _UNIT.match(node)
    return found[0] if found else ""


def fused_attention(arch: ArchSpec, precision: str) -> tuple[str, ...]:
    """Return the blocks whose attention stays one kernel when both of its products are in `int8` or `fp8`.

    NVIDIA's own quantiser leaves the products in fp16 for a head_dim outside of (8, 256] in fp8, above 512 tokens in
    int8, and wherever a product has a single row (NVIDIA/TensorRT-Model-Optimizer,
    modelopt/onnx/quantization/graph_utils.py), as the last block's have. TensorRT for RTX 1.7.1 takes less: in fp8 it
    splits attention into up to seven kernels at 26 tokens and fewer (at 37 it does not) and computes a head_dim below
    16 in fp16; in int8 it splits it at another head_dim than 16, 32 and 64, and where there is one head
    (benchmarks/results/low-precision-attention.json).
    """

    def fuses(element: BlockElement) -> bool:
        tokens, head_dim = _tokens_of_products(element), element.block.head_dim
        if precision == _INT8.name:
            return max(tokens) <= 512 and head_dim in (16, 32, 64) and element.block.heads > 1
        return min(tokens) >= 32 and 16 <= head_dim <= 256

    blocks = (element for element in elements(arch) if isinstance(element, BlockElement))
    return tuple(element.name for element in blocks if not element.last and fuses(element))


def _tokens_of_products(element: BlockElement) -> tuple[int, ...]:
    """Return how many tokens ask or are asked in the products of a block's attention: in windows, those of each."""
    mixer, side = element.mixer, element.side
    if mixer.kind == WINDOW:
        return tuple(group.tokens for group in mixer.groups(side))
    return 1 + side**2, mixer.sources(side)


def units_named(names: Iterable[str], arch: ArchSpec) -> tuple[str, ...]:
    """Return the units that the names are of, in order; a block or a stage has several. Raise `BadInput` for others."""
    units = list(known_units(arch))
    found: set[str] = set()
    for name in names:
        parts = [unit for unit in units if unit == name or unit.startswith(f"{name}.")]
        if not parts or not name:
            raise BadInput(
                f"`keep` must name elements of the network, a stage, or a block's {' or '.join(HALVES)}, such as "
                f"{first_few(units, 3)}, found {shown(name)}"
            )
        found.update(parts)
    return tuple(unit for unit in units if unit in found)


def known_units(arch: ArchSpec) -> Iterable[str]:
    """Yield the units of a network in order; the head is none, for it is never quantised."""
    for element in elements(arch):
        if isinstance(element, BlockElement):
            yield from (f"{element.name}.{half}" for half in HALVES)
        elif not isinstance(element, HeadElement):
            yield element.name
