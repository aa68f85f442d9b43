"""How much memory a network needs at its peak, from its ArchSpec alone: weights, and the activations alive at once.

The activations are those of the graph that is exported for runtimes, in its order: each is there from the node that
writes it to the last one that reads it; a node's inputs and its output are there together. Reshapes move nothing. The
attention operator holds its scores, which are no value of the graph. What a runtime keeps for itself (packed copies of
weights, buffers that it does not share) comes on top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from resnas_deploy.arch.cost import parameters
from resnas_deploy.arch.elements import BlockElement, Element, HeadElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.mixer import POOLED, WINDOW
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.precision import AROUND_QUANTISED, PRECISIONS

_EDGE = PRECISIONS["fp32"].bytes  # of a number of the images and of the logits, in every precision
_Step = tuple[str, int, tuple[str, ...]]  # what is written, its bytes for one image, and what is read


def memory_bytes(arch: ArchSpec, batch: int = 1, precision: str = "fp32") -> int:
    """Count the bytes of the weights and of the activations at their peak: all that the network itself needs."""
    return stored_weight_bytes(arch, precision) + peak_activation_bytes(arch, batch, precision)


def peak_activation_bytes(arch: ArchSpec, batch: int = 1, precision: str = "fp32") -> int:
    """Count the bytes of the activations that are there at once, at most, in a pass over `batch` images.

    In a quantised graph they have the precision around the products: `fp32` of int8 on CPUs, `fp16` of fp8.
    """
    each = PRECISIONS[_around(precision)].bytes
    return batch * max(_peak(element, each) for element in elements(arch))


def stored_weight_bytes(arch: ArchSpec, precision: str = "fp32") -> int:
    """Count the bytes of the parameters, where a quantised graph has those of its products in a byte each."""
    quantised = sum(_in_products(element, precision) for element in elements(arch))
    return quantised + (parameters(arch) - quantised) * PRECISIONS[_around(precision)].bytes


def _around(precision: str) -> str:
    """Return the precision of what is not quantised, in graphs for runtimes."""
    if not PRECISIONS[precision].quantised:
        return precision
    return AROUND_QUANTISED if precision == "fp8" else "fp32"


def _in_products(element: Element, precision: str) -> int:
    """Count the weights that have the precision, of a quantised one; in int8 those of convolutions too."""
    if not PRECISIONS[precision].quantised:
        return 0
    convolutions = precision == "int8"
    match element:
        case StemElement(_, width, mid, _, patch):
            own = 9 * mid * (3 + mid + mid) + mid * (patch // 2) ** 2 * width if mid else 3 * patch**2 * width
            return own if convolutions else 0
        case BlockElement(_, width, block):
            return width * (4 * block.inner + 2 * block.hidden)
        case ReductionElement(_, width, out):
            return width * out * (10 if convolutions else 1)
        case HeadElement():
            return 0


@lru_cache(maxsize=4096)
def _peak(element: Element, each: int) -> int:
    """Return the most bytes that are there at once while an element is computed, for one image."""
    steps = _steps(element, each)
    last = {name: number for number, (_, _, read) in enumerate(steps) for name in read}
    last[steps[-1][0]] = len(steps)
    there, sizes, most = 0, dict[str, int](), 0
    for number, (name, size, read) in enumerate(steps):
        there, sizes[name] = there + size, size
        most = max(most, there)
        there -= sum(sizes[old] for old in {*read, name} if last.get(old, number) == number)
    return most


def _steps(element: Element, each: int) -> Sequence[_Step]:
    """Return what is computed in an element, in the graph's order. The first step is what it reads."""
    match element:
        case StemElement():
            return _stem(element, each)
        case BlockElement():
            return _block(element, each)
        case ReductionElement():
            return _reduction(element, each)
        case HeadElement(_, width, classes):
            logits = classes * each
            steps = [("x", width * each, ()), ("norm", width * each, ("x",)), ("linear", logits, ("norm",))]
            return steps if each == _EDGE else [*steps, ("logits", classes * _EDGE, ("linear",))]


def _stem(stem: StemElement, each: int) -> list[_Step]:
    images, patches = 3 * stem.image_size**2, stem.side**2
    steps: list[_Step] = [("images", images * _EDGE, ())]
    if each != _EDGE:
        steps.append(("cast", images * each, ("images",)))
    if stem.mid_width:
        pixels = stem.mid_width * (stem.image_size // 2) ** 2 * each
        for number in (1, 2, 3):
            steps.append((f"conv{number}", pixels, (steps[-1][0],)))
            steps.append((f"relu{number}", pixels, (steps[-1][0],)))
        steps.append(("sum", pixels, ("relu1", "relu3")))
    tokens = patches * stem.width * each
    steps += [("projection", tokens, (steps[-1][0],)), ("patches", tokens, ("projection",))]
    whole = (patches + 1) * stem.width * each
    return [*steps, ("tokens", whole, ("patches",)), ("y", whole, ("tokens",))]


def _block(element: BlockElement, each: int) -> list[_Step]:
    tokens, asking = element.side**2 + 1, 1 if element.last else element.side**2 + 1
    width, inner, hidden = element.width * each, element.block.inner * each, element.block.hidden * each
    steps: list[_Step] = [("x", tokens * width, ()), ("norm1", tokens * width, ("x",))]
    if element.mixer.kind == WINDOW and not element.last:
        steps += _in_windows(element, width, inner, element.block.heads * each)
    else:
        steps += _of_all(element, width, inner, element.block.heads * each)
    steps += [
        ("projection.matmul", asking * width, ("attention",)),
        ("projection", asking * width, ("projection.matmul",)),
    ]
    if element.last:
        steps.append(("class_token", width, ("x",)))
    return [
        *steps,
        ("sum", asking * width, ("class_token" if element.last else "x", "projection")),
        ("norm2", asking * width, ("sum",)),
        ("fc1.matmul", asking * hidden, ("norm2",)),
        ("fc1", asking * hidden, ("fc1.matmul",)),
        ("gelu", asking * hidden, ("fc1",)),
        ("fc2.matmul", asking * width, ("gelu",)),
        ("fc2", asking * width, ("fc2.matmul",)),
        ("y", asking * width, ("sum", "fc2")),
    ]


def _of_all(element: BlockElement, width: int, inner: int, score: int) -> Iterator[_Step]:
    """Yield what is between the norm and the projection where all ask the same keys; a `score` is of all heads."""
    asking, asked = 1 if element.last else element.side**2 + 1, "norm1"
    sources = element.mixer.sources(element.side)
    if element.last:
        yield "asking", width, ("norm1",)
    if element.mixer.kind == POOLED:
        for what, size, read in _pooling(element, width):
            yield what, size, read
            asked = what
    yield "query.matmul", asking * inner, ("asking" if element.last else "norm1",)
    yield "query", asking * inner, ("query.matmul",)
    yield "key", sources * inner, (asked,)
    yield "value", sources * inner, (asked,)
    yield "scores", asking * sources * score, ("query", "key")
    yield "attention", asking * inner, ("scores", "query", "key", "value")


def _in_windows(element: BlockElement, width: int, inner: int, score: int) -> Iterator[_Step]:
    """Yield the same of windows: all tokens in their order, the class token's attention, and each group's."""
    groups = element.mixer.groups(element.side)
    tokens = sum(group.length for group in groups)
    yield "windows", tokens * width, ("norm1",)
    yield "query.matmul", tokens * inner, ("windows",)
    yield "query", tokens * inner, ("query.matmul",)
    yield "key", tokens * inner, ("windows",)
    yield "value", tokens * inner, ("windows",)
    yield "asking", inner, ("query",)
    yield "scores", tokens * score, ("asking", "key")
    yield "class", inner, ("scores", "asking", "key", "value")
    parts = [("query", "key", "value")] * len(groups)
    if len(groups) > 1:
        parts = [(f"query{i}", f"key{i}", f"value{i}") for i in range(len(groups))]
        for column, whole in enumerate(("query", "key", "value")):
            yield from (
                (part[column], group.length * inner, (whole,)) for part, group in zip(parts, groups, strict=True)
            )
    for number, (group, part) in enumerate(zip(groups, parts, strict=True)):
        yield f"scores{number}", group.length * group.tokens * score, part
        yield f"attention{number}", group.length * inner, (f"scores{number}", *part)
    found = tuple(f"attention{number}" for number in range(len(groups)))
    yield "joined", (tokens + 1) * inner, ("class", *found)
    yield "attention", (element.side**2 + 1) * inner, ("joined",)


def _pooling(element: BlockElement, width: int) -> Iterator[_Step]:
    """Yield what makes the means of cells out of normed tokens."""
    side, size = element.side, element.mixer.size
    cells = -(-side // size)
    yield "pooled_class", width, ("norm1",)
    yield "pooled_patches", side**2 * width, ("norm1",)
    if side % size:
        yield "channels_first", side**2 * width, ("pooled_patches",)
        yield "cells", cells**2 * width, ("channels_first",)
        yield "means", cells**2 * width, ("cells",)
    else:
        yield "row_means", cells * side * width, ("pooled_patches",)
        yield "means", cells**2 * width, ("row_means",)
    yield "pooled", (cells**2 + 1) * width, ("pooled_class", "means")


def _reduction(element: ReductionElement, each: int) -> list[_Step]:
    patches, quarter, even = element.side**2, element.out_side**2, 4 * element.out_side**2
    width, out = element.width * each, element.out_width * each
    repeated = [] if even == patches else [("residual_even", even * width, ("residual_patches",))]
    return [
        ("x", (patches + 1) * width, ()),
        ("normed", (patches + 1) * width, ("x",)),
        ("normed_class", width, ("normed",)),
        ("class_token", out, ("normed_class",)),
        ("normed_patches", patches * width, ("normed",)),
        ("channels_first", patches * width, ("normed_patches",)),
        ("conv", quarter * out, ("channels_first",)),
        ("patches", quarter * out, ("conv",)),
        ("residual_class", width, ("x",)),
        ("residual_patches", patches * width, ("x",)),
        *repeated,
        ("row_means", even // 2 * width, ("residual_even" if repeated else "residual_patches",)),
        ("pooled", quarter * width, ("row_means",)),
        ("reduced", (quarter + 1) * out, ("class_token", "patches")),
        ("residual", (quarter + 1) * width, ("residual_class", "pooled")),
        ("placed", (quarter + 1) * out, ("reduced",)),
        ("padded", (quarter + 1) * out, ("residual",)),
        ("y", (quarter + 1) * out, ("placed", "padded")),
    ]
