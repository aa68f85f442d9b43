"""A subnet's weights out of a supernet's: the leading slices of every tensor (paper, section 3.3)."""

from __future__ import annotations

from resnas_deploy.arch.elements import BlockElement, elements
from resnas_deploy.arch.spec import ArchSpec, Block, Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.weights.checkpoint import Array, Checkpoint
from resnas_deploy.weights.schema import Shape, patch_head_shapes, tensor_shapes


def slice_subnet(supernet: Checkpoint, subnet: Subnet) -> Checkpoint:
    """Slice out the checkpoint of `subnet`, whose positions are those of the supernet's blocks; most of it is views.

    Leading channels of every linear, convolution, norm and table; of qkv the leading heads of q, of k and of v, each
    for itself. Raise `BadInput` where the subnet does not fit into the supernet.
    """
    _check_fits(supernet.arch, subnet.full)
    arch = subnet.arch
    from_qkv = {f"{element.name}.attention.qkv": element.block for element in _blocks(supernet.arch)}
    shapes = tensor_shapes(arch)
    if "patch_head.weight" in supernet.tensors:
        shapes |= patch_head_shapes(arch)
    positions = block_positions(subnet)
    tensors = {}
    for name, shape in shapes.items():
        element, _, rest = name.partition(".block")
        if rest:
            number, _, tensor = rest.partition(".")
            source = f"{element}.block{positions[f'{element}.block{number}']}.{tensor}"
        else:
            source = name
        whole = supernet.tensors[source]
        layer = source.rpartition(".")[0]
        tensors[name] = _leading_qkv(whole, shape, from_qkv[layer]) if layer in from_qkv else _leading(whole, shape)
    provenance = supernet.provenance.then(f"subnet {arch.fingerprint} sliced out")
    return Checkpoint(arch, tensors, provenance, supernet.task, checked=True)


def block_positions(subnet: Subnet) -> dict[str, int]:
    """Return the number (from 1) that each block of `subnet.arch`, by name, has among its stage's positions."""
    return {
        f"stage{stage}.block{number}": position
        for stage, flags in enumerate(subnet.kept, start=1)
        for number, position in enumerate((p for p, keep in enumerate(flags, start=1) if keep), start=1)
    }


def _leading(whole: Array, shape: Shape) -> Array:
    return whole[tuple(slice(size) for size in shape)]


def _leading_qkv(whole: Array, shape: Shape, block: Block) -> Array:
    parts = whole.reshape(3, block.inner, *whole.shape[1:])  # rows are ordered q, k, v, each by head
    return parts[(slice(3), slice(shape[0] // 3), *map(slice, shape[1:]))].reshape(shape)  # which copies


def _blocks(arch: ArchSpec) -> list[BlockElement]:
    return [element for element in elements(arch) if isinstance(element, BlockElement)]


def _check_fits(supernet: ArchSpec, full: ArchSpec) -> None:
    def need(field: str, found: int, limit: int, *, exactly: bool = False) -> None:
        if found > limit or (exactly and found != limit):
            rule = "the supernet's" if exactly else "at most the supernet's"
            raise BadInput(
                f"the subnet's {field} must be {rule} {limit}, found {found}; is it a subnet of this supernet?"
            )

    for field in ("classes", "image_size", "patch_size", "stem_mid_width"):
        need(field, getattr(full, field), getattr(supernet, field), exactly=True)
    for number, (small, large) in enumerate(zip(full.stages, supernet.stages, strict=True)):
        where = f"stages[{number}]"
        need(f"{where}.width", small.width, large.width)
        need(f"{where} number of blocks", len(small.blocks), len(large.blocks), exactly=True)
        for index, (a, b) in enumerate(zip(small.blocks, large.blocks, strict=True)):
            need(f"{where}.blocks[{index}].head_dim", a.head_dim, b.head_dim, exactly=True)
            need(f"{where}.blocks[{index}].heads", a.heads, b.heads)
            need(f"{where}.blocks[{index}].hidden", a.hidden, b.hidden)
