"""The layers of an engine, and the list of them that TensorRT's builder writes to its verbose log.

The log is the only account of an engine to be had without a GPU: loading one, to ask the engine inspector
(engines/inspector.py), needs one. It is the builder's own format, with detailed profiling verbosity, and differs by
version: TensorRT 10 writes `Format/Datatype` and no `Constants`, and a `Location` for layers that are not Myelin's;
TensorRT for RTX 1.7 (and 11) `Datatype` and `Format`. What does not read as one of these is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.precision import PRECISIONS

_START = "Layers:"
_LIST = r"\[\]|\[ \{.*?\}\]"
_LAYER = re.compile(
    rf"Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*), Inputs: (?P<inputs>{_LIST})"
    rf"(?:, Constants: (?P<constants>{_LIST}))?, Outputs: (?P<outputs>{_LIST}), (?P<rest>.*)"
)
_TENSOR = re.compile(
    r" \{ Name: (?P<name>(?:(?!\}, \{ ).)*?),(?: Location: \w+,)? Dimensions: \[(?P<dims>[^\]]*)\],"
    r"(?P<rest>[^{}]*)\}(?=,|\])"
)
_TYPE = re.compile(r" (?:Format/)?Datatype: (?P<type>[^,]+)(?:,|$)")
_TACTIC = re.compile(r"(?:^|, )TacticName: ([^,]*)")
_WEIGHTS = re.compile(r"(?:^|, )Weights: \{\"Type\": \"([^\"]*)\", \"Count\": ([0-9]{1,18})\}")
_NODE = re.compile(r"\[ONNX Layer: (.*?)\]")  # one after another, or with a control character between them
_PROFILE = re.compile(r" \[profile \d+\]$")  # what the builder adds to a tensor's name for profiles after the first
_INLINED = re.compile(r"__\d+$")  # what onnx's inliner adds to the name of a function's node
_OTHERS = ("int32", "int64", "bool", "uint8")  # types that nothing is multiplied in here
_TYPES = {known.tensorrt.lower(): known.name for known in PRECISIONS.values()} | {name: name for name in _OTHERS}
# The inspector's words inside of a description such as "Channel major FP16 format where channel % 8 == 0".
_DESCRIBED = _TYPES | {known.name.lower(): known.name for known in PRECISIONS.values()}
_WORD = re.compile(r"[A-Za-z]+[0-9]*")
KNOWN_TYPES = frozenset(PRECISIONS) | frozenset(_OTHERS)


@dataclass(frozen=True)
class Tensor:
    """A tensor between layers. `precision` is `fp16`, `int8`, .., or the builder's words for a type not known here."""

    name: str
    dims: tuple[int, ...]
    precision: str

    @property
    def is_one_element(self) -> bool:
        """Whether it is a single number, such as the factors alpha and beta of a product, which are float32."""
        return all(size == 1 for size in self.dims)


@dataclass(frozen=True)
class Layer:
    """A layer of an engine: a kernel, or work of the host on shapes."""

    name: str
    kind: str  # the builder's: gemm, kgen, correlation, runtime_fusion, CaskConvolution, ..
    inputs: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[str, ...]  # of the graph, that went into it
    tactic: str = ""  # the builder's name of the kernel

    @property
    def is_kernel(self) -> bool:
        """Whether it runs on the GPU: what only computes shapes has no output, or one of 64-bit integers."""
        return self.kind != "NoOp" and any(tensor.precision != "int64" for tensor in self.outputs)


def parse_layers(log: str) -> tuple[Layer, ...]:
    """Parse the layers of the engine built last, of all profiles. Raise `BadInput` where no whole list is there."""
    lines = log.split("\n")  # and not at the control characters that stand between the nodes of a layer
    return with_constants(tuple(_layers(lines if lines[-1] else lines[:-1])))


def with_constants(listed: Sequence[tuple[Layer, bool]]) -> tuple[Layer, ...]:
    """Return the layers, each with whether its constants were listed on their own.

    Where not, as by TensorRT 10, they are those of its inputs that no layer makes.
    """
    made = {tensor.name for layer, _ in listed for tensor in layer.outputs} | {INPUT}
    return tuple(layer if told else _sorted_out(layer, made) for layer, told in listed)


def _sorted_out(layer: Layer, made: set[str]) -> Layer:
    inputs = tuple(tensor for tensor in layer.inputs if tensor.name in made)
    others = tuple(tensor for tensor in layer.inputs if tensor.name not in made)
    return replace(layer, inputs=inputs, constants=(*layer.constants, *others))


def plain_tensor(name: str, dims: Iterable[int], described: str) -> Tensor:
    """Return a tensor with the name that it has in the first profile, and its type in our words."""
    return Tensor(_PROFILE.sub("", name), tuple(dims), precision_of(described))


def counted_weights(described: str, count: int) -> tuple[Tensor, ...]:
    """Return weights of which only the type and the number are told, as a matrix; none where there is none, or one."""
    return (plain_tensor("Weights", (2, max(count // 2, 2)), described),) if count > 1 else ()


def precision_of(described: str) -> str:
    """Return what a builder's word or description says of a type; the text itself where it says none, or two."""
    text = described.strip()
    if found := _TYPES.get(text.lower()):
        return found
    words = {_DESCRIBED[word.lower()] for word in _WORD.findall(text) if word.lower() in _DESCRIBED}
    return words.pop() if len(words) == 1 else text


def graph_names(metadata: str, name: str) -> tuple[str, ...]:
    """Return the nodes that went into a layer: those in its metadata, or else those that its name joins by ` + `."""
    found = _NODE.findall(metadata) or (name.split(" + ") if " + " in name else [])
    return tuple(dict.fromkeys(node_name(each.partition(" | ")[0]) for each in found))


def _layers(lines: Sequence[str]) -> Iterator[tuple[Layer, bool]]:
    starts = [number for number, line in enumerate(lines) if line.endswith(_START)]
    if not starts:
        raise BadInput(f"a builder's log must have a list of layers after {shown(_START)}, found none; is it verbose?")
    for number, line in enumerate(lines[starts[-1] + 1 :], starts[-1] + 2):
        if not line:
            return
        match = _LAYER.fullmatch(line)
        if not match:
            raise BadInput(
                f"line {number} of a builder's log: a layer must have a name, a type, inputs and outputs, "
                f"found {shown(line)}"
            )
        where = f"line {number} of a builder's log, layer {shown(match['name'])}"
        rest, _, metadata = match["rest"].partition("Metadata: ")
        tactic, weights = _TACTIC.search(rest), _WEIGHTS.search(rest)
        layer = Layer(
            match["name"],
            match["kind"],
            _tensors(match["inputs"], where),
            _tensors(match["constants"] or "[]", where)
            + (counted_weights(weights[1], int(weights[2])) if weights else ()),
            _tensors(match["outputs"], where),
            graph_names(metadata, match["name"]),
            tactic[1].strip() if tactic else "",
        )
        yield layer, match["constants"] is not None
    raise BadInput("the list of layers in a builder's log must end with an empty line, found the end of the log")


def _tensors(text: str, where: str) -> tuple[Tensor, ...]:
    matches = list(_TENSOR.finditer(text))
    if f"[{','.join(match[0] for match in matches)}]" != text:
        raise BadInput(f"{where}: its tensors must each have a name, dimensions and a type, found {shown(text)}")
    return tuple(_tensor(match, where) for match in matches)


def _tensor(match: re.Match[str], where: str) -> Tensor:
    found = _TYPE.search(match["rest"])
    if not found:
        raise BadInput(f"{where}: the tensor {shown(match['name'])} must have a type, found {shown(match['rest'])}")
    try:
        dims = [int(dim) for dim in match["dims"].split(",") if dim.strip()]
    except ValueError:
        raise BadInput(f"{where}: dimensions must be whole numbers, found {shown(match['dims'])}") from None
    return plain_tensor(match["name"], dims, found["type"])


def node_name(name: str) -> str:
    """Return a node's name without what inlining a function adds to it."""
    return _INLINED.sub("", name)
