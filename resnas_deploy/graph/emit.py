"""Emits the whole ONNX graph from an architecture and its weights. Nothing is traced and torch is not needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, TensorProto, helper

from resnas_deploy.arch.elements import (
    INPUT,
    OUTPUT,
    BlockElement,
    HeadElement,
    ReductionElement,
    StemElement,
    elements,
)
from resnas_deploy.arch.inputs import FLOAT32, InputKind
from resnas_deploy.batch import BatchRange
from resnas_deploy.files.hashed import hashed_file
from resnas_deploy.graph.block import emit_block
from resnas_deploy.graph.ends import emit_head, emit_images, emit_stem, images_into
from resnas_deploy.graph.nodes import DOMAIN, DOMAIN_VERSION, GraphBuilder, Weight
from resnas_deploy.graph.protobuf import write_model
from resnas_deploy.graph.reduction import emit_reduction
from resnas_deploy.graph.spelling import FOR_RUNTIMES, GEMM, Spelling
from resnas_deploy.precision import Precision
from resnas_deploy.version import __version__
from resnas_deploy.weights.checkpoint import Array, Checkpoint
from resnas_deploy.weights.padding import align

OPSET = 23  # the first with Attention
IR_VERSION = 11  # the one that came with opset 23


@dataclass(frozen=True)
class EmittedGraph:
    """A model whose weights are still to be computed: `model` has no initializers, `weights` are what they will be."""

    model: ModelProto
    weights: tuple[Weight, ...]

    def write(self, path: Path) -> str:
        """Write the model to a file; each weight is folded, written and forgotten. Return its sha256, hexadecimal."""
        with hashed_file(path) as file:
            write_model(self.model, self.weights, file)
            return file.digest


def emit(
    checkpoint: Checkpoint,
    precision: Precision,
    batch: BatchRange,
    *,
    spelling: Spelling = FOR_RUNTIMES,
    alignment: int = 1,
    kind: InputKind = FLOAT32,
) -> EmittedGraph:
    """Emit the graph `images (B, 3, S, S) float32 -> logits (B, classes) float32`.

    Its input may be another `kind`: `images (B, S, S, 3) uint8`, what the checkpoint's preprocessing crops, whose
    normalisation is then part of the stem.

    Each element's last node writes a value of the element's name (`stem`, `stage1.block1`, .., `head` is `logits`).
    With an `alignment` above 1 its widths are padded to multiples of that (`align`), and the logits are the same.
    The same input gives the same bytes.
    """
    arch = checkpoint.arch
    aligned = align(arch, checkpoint.tensors, alignment)
    graph = GraphBuilder(precision, OPSET, gemm=spelling.linears == GEMM)
    x = INPUT
    for element in elements(aligned.arch):
        tensors, epsilon = _of(element.name, aligned.tensors), aligned.epsilons[element.name]
        match element:
            case StemElement():
                x = emit_images(graph, element, kind, checkpoint.preprocessing)
                x = emit_stem(graph, element, images_into(tensors, kind, checkpoint.preprocessing), x)
            case BlockElement():
                x = emit_block(graph, element, tensors, x, epsilon, spelling)
            case ReductionElement():
                mean_weight = aligned.mean_weights.get(element.name)
                x = emit_reduction(graph, element, tensors, x, epsilon, spelling, mean_weight)
            case HeadElement():
                x = emit_head(graph, element, tensors, x, epsilon)
    if precision.onnx != TensorProto.FLOAT:
        graph.cast(x, "output_cast", TensorProto.FLOAT)
    graph.nodes[-1].output[0] = OUTPUT

    size: int | str = batch.least if batch.fixed else "batch"
    image = [size, *kind.dims(arch.image_size)]
    proto = helper.make_graph(
        graph.nodes,
        "vit_resnas",
        [helper.make_tensor_value_info(INPUT, kind.onnx, image)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [size, arch.classes])],
    )
    model = helper.make_model(
        proto,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)],
        functions=graph.functions,
        producer_name="resnas",
        producer_version=__version__,
    )
    described = {
        "resnas.alignment": alignment,
        "resnas.arch": arch.to_json(),
        "resnas.batch": str(batch),
        "resnas.precision": precision.name,
    } | ({} if kind is FLOAT32 else {"resnas.input": kind.name})
    helper.set_model_props(model, {key: json.dumps(value, sort_keys=True) for key, value in described.items()})
    return EmittedGraph(model, tuple(graph.weights.values()))


def _of(element: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    prefix = f"{element}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
