"""What a network costs, from its ArchSpec alone: MACs, parameters, weight bytes and activation bytes.

MACs follow the reference's convention, per image: convolutions, linears and the two attention products; no norms,
softmax, pooling, activations or biases; the class token counted; the head on one token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from resnas_deploy.arch.elements import BlockElement, Element, HeadElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.precision import FLOATS


@dataclass(frozen=True)
class Cost:
    """Costs of one element. `values` counts the numbers that it writes to memory for one image."""

    name: str
    macs: int
    parameters: int
    values: int


def breakdown(arch: ArchSpec) -> Iterator[Cost]:
    """Return the cost of each element, in the order of computation."""
    return (_cost(element) for element in elements(arch))


def macs(arch: ArchSpec) -> int:
    """Count multiply-accumulates for one image, to the unit as the reference does."""
    return sum(cost.macs for cost in breakdown(arch))


def parameters(arch: ArchSpec, *, patch_head: bool = False) -> int:
    """Count trainable numbers (norms included, running statistics not); `patch_head` adds the head of training."""
    head = arch.classes * (arch.stages[-1].width + 1) if patch_head else 0
    return head + sum(cost.parameters for cost in breakdown(arch))


def weight_bytes(arch: ArchSpec, precision: str = "fp32") -> int:
    """Count the bytes of all parameters at a precision: `fp32`, `fp16` or `bf16`."""
    return parameters(arch) * FLOATS[precision].bytes


def activation_bytes(arch: ArchSpec, batch: int = 1, precision: str = "fp32") -> int:
    """Count the bytes that a pass over `batch` images writes: each linear, convolution and product its result once.

    Traffic, not peak memory: element-wise work is taken as fused into the operation before it.
    """
    return batch * FLOATS[precision].bytes * sum(cost.values for cost in breakdown(arch))


@lru_cache(maxsize=65536)  # the networks of a space are made of the same elements
def _cost(element: Element) -> Cost:
    match element:
        case StemElement():
            return _stem(element)
        case BlockElement():
            return _block(element)
        case ReductionElement():
            return _reduction(element)
        case HeadElement(name, width, classes):
            return Cost(name, width * classes, 2 * width + classes * (width + 1), classes)


def _stem(stem: StemElement) -> Cost:
    patches, mid, tables = stem.side**2, stem.mid_width, (stem.side**2 + 2) * stem.width  # positions and class token
    if not mid:
        kernel = 3 * stem.patch_size**2 * stem.width
        return Cost(stem.name, patches * kernel, kernel + stem.width + tables, patches * stem.width)
    pixels, convolutions = (stem.image_size // 2) ** 2, 9 * mid * (3 + mid + mid)
    projection = mid * (stem.patch_size // 2) ** 2 * stem.width
    return Cost(
        stem.name,
        macs=pixels * convolutions + patches * projection,
        parameters=convolutions + 3 * 2 * mid + projection + stem.width + tables,
        values=3 * pixels * mid + patches * stem.width,
    )


def _block(element: BlockElement) -> Cost:
    width, inner, hidden, tokens = element.width, element.block.inner, element.block.hidden, element.side**2 + 1
    linears = width * 3 * inner + inner * width + 2 * width * hidden
    mixer, sources, pairs = element.mixer, element.mixer.sources(element.side), element.mixer.pairs(element.side)
    return Cost(
        element.name,
        macs=tokens * (linears - 2 * width * inner) + mixer.macs(element.side, width, inner),
        parameters=linears + 3 * inner + width + hidden + width + 2 * 2 * width,
        values=tokens * (2 * inner + width + hidden + width) + 2 * sources * inner + pairs * element.block.heads,
    )


def _reduction(element: ReductionElement) -> Cost:
    width, out, patches = element.width, element.out_width, element.out_side**2
    return Cost(
        element.name,
        macs=patches * 9 * width * out + width * out,
        parameters=9 * width * out + out + width * out + out + patches * out + 2 * width,
        values=(patches + 1) * out,
    )
