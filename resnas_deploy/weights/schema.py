"""The names and shapes of a network's weights: the schema of checkpoints and of the PyTorch module's state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from resnas_deploy.arch.elements import BlockElement, Element, HeadElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import shown

Shape = tuple[int, ...]


def tensor_shapes(arch: ArchSpec) -> dict[str, Shape]:
    """Return every float32 tensor of the network by name, in the order of computation; linears are `(out, in)`."""
    return {f"{element.name}.{name}": shape for element in elements(arch) for name, shape in _element_shapes(element)}


def patch_head_shapes(arch: ArchSpec) -> dict[str, Shape]:
    """Return the training-only head on patch tokens, which a checkpoint may carry and inference does not use."""
    return {"patch_head.weight": (arch.classes, arch.stages[-1].width), "patch_head.bias": (arch.classes,)}


def shape_differences(found: Mapping[str, Shape], arch: ArchSpec) -> list[str]:
    """Return what keeps tensors of these shapes from being this network's, a line each, in the order of computation."""
    wanted, patch_head = tensor_shapes(arch), patch_head_shapes(arch)
    if not patch_head.keys().isdisjoint(found):  # it is there whole or not at all
        wanted |= patch_head
    lines = []
    for name, shape in wanted.items():
        if name not in found:
            lines.append(f"{name} {shape} is missing")
        elif found[name] != shape:
            lines.append(f"{name} must be {shape}, found {found[name]}")
    return lines + [f"{shown(name)} {found[name]} is not of this network" for name in found if name not in wanted]


def _element_shapes(element: Element) -> Iterator[tuple[str, Shape]]:
    match element:
        case StemElement(_, width, mid, _, patch, side):
            for number, channels in ((1, 3), (2, mid), (3, mid)) if mid else ():
                yield f"conv{number}.weight", (mid, channels, 3, 3)
                for name in ("weight", "bias", "running_mean", "running_var"):
                    yield f"bn{number}.{name}", (mid,)
            kernel = patch // 2 if mid else patch
            yield "projection.weight", (width, mid or 3, kernel, kernel)
            yield "projection.bias", (width,)
            yield "class_token", (1, 1, width)
            yield "position", (1, 1 + side**2, width)
        case BlockElement(_, width, block):
            yield from _norm("norm1", width)
            yield from _linear("attention.qkv", width, 3 * block.inner)
            yield from _linear("attention.projection", block.inner, width)
            yield from _norm("norm2", width)
            yield from _linear("mlp.fc1", width, block.hidden)
            yield from _linear("mlp.fc2", block.hidden, width)
        case ReductionElement(_, width, out_width):
            yield from _norm("norm", width)
            yield "conv.weight", (out_width, width, 3, 3)
            yield "conv.bias", (out_width,)
            yield from _linear("class_linear", width, out_width)
            yield "position", (1, element.out_side**2, out_width)
        case HeadElement(_, width, classes):
            yield from _norm("norm", width)
            yield from _linear("linear", width, classes)


def _norm(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _linear(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)
