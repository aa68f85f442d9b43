"""A subnet's weights out of a supernet's: the leading slices of every tensor (paper, section 3.3).

A subnet whose heads are smaller takes the leading channels of each head (of q, of k and of v, each for itself).
"""

from __future__ import annotations

from resnas_deploy.arch.elements import BlockElement, elements
from resnas_deploy.arch.spec import ArchSpec, Block, Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.weights.checkpoint import Array, Checkpoint
from resnas_deploy.weights.schema import Shape, patch_head_shapes, tensor_shapes


def slice_subnet(supernet: Checkpoint, subnet: Subnet) -> Checkpoint:
    """Slice out the checkpoint of `subnet`, whose positions are those of the supernet's blocks; most of it is views.

    Leading channels of every linear, convolution, norm and table; of attention the leading heads, of each the leading
    channels. Raise `BadInput` where the subnet does not fit into the supernet.
    """
    _check_fits(supernet.arch, subnet.full)
    arch = subnet.arch
    wide = {element.name: element.block for element in elements(supernet.arch) if isinstance(element, BlockElement)}
    own = {element.name: element.block for element in elements(arch) if isinstance(element, BlockElement)}
    shapes = tensor_shapes(arch)
    if "patch_head.weight" in supernet.tensors:
        shapes |= patch_head_shapes(arch)
    positions = block_positions(subnet)
    tensors = {}
    for name, shape in shapes.items():
        stage, _, rest = name.partition(".block")
        number, _, tensor = rest.partition(".")
        if not number:
            tensors[name] = _leading(supernet.tensors[name], shape)
            continue
        block, source = f"{stage}.block{number}", f"{stage}.block{positions[f'{stage}.block{number}']}"
        whole = supernet.tensors[f"{source}.{tensor}"]
        if tensor.startswith("attention.qkv."):
            tensors[name] = _leading_qkv(whole, shape, wide[source], own[block])
        elif tensor == "attention.projection.weight" and own[block].head_dim < wide[source].head_dim:
            tensors[name] = _leading_projection(whole, shape, wide[source], own[block])
        else:
            tensors[name] = _leading(whole, shape)
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


def _leading_qkv(whole: Array, shape: Shape, wide: Block, own: Block) -> Array:
    by_head = whole.reshape(3, wide.heads, wide.head_dim, *whole.shape[1:])  # rows are ordered q, k, v, each by head
    return _leading(by_head, (3, own.heads, own.head_dim, *shape[1:])).reshape(shape)  # which copies


def _leading_projection(whole: Array, shape: Shape, wide: Block, own: Block) -> Array:
    by_head = whole.reshape(len(whole), wide.heads, wide.head_dim)  # so are the columns
    return _leading(by_head, (shape[0], own.heads, own.head_dim)).reshape(shape)  # which copies


def _check_fits(supernet: ArchSpec, full: ArchSpec) -> None:
    def need(field: str, found: int, limit: int, *, exactly: bool = False) -> None:
        if found > limit or (exactly and found != limit):
            rule = "the supernet's" if exactly else "at most the supernet's"
            raise BadInput(
                f"the subnet's {field} must be {rule} {limit}, found {found}; is it a subnet of this supernet?"
            )

    for field in ("classes", "image_size", "patch_size"):
        need(field, getattr(full, field), getattr(supernet, field), exactly=True)
    need("number of stages", len(full.stages), len(supernet.stages), exactly=True)
    plain = 0 in (full.stem_mid_width, supernet.stem_mid_width)  # a stem without convolutions has other weights
    need("stem_mid_width", full.stem_mid_width, supernet.stem_mid_width, exactly=plain)
    for number, (small, large) in enumerate(zip(full.stages, supernet.stages, strict=True)):
        where = f"stages[{number}]"
        need(f"{where}.width", small.width, large.width)
        need(f"{where} number of blocks", len(small.blocks), len(large.blocks), exactly=True)
        for index, (a, b) in enumerate(zip(small.blocks, large.blocks, strict=True)):
            need(f"{where}.blocks[{index}].head_dim", a.head_dim, b.head_dim)
            need(f"{where}.blocks[{index}].heads", a.heads, b.heads)
            need(f"{where}.blocks[{index}].hidden", a.hidden, b.hidden)
