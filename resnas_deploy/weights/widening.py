"""A supernet's weights in another search space: those that exist are kept, in their places, and the others are fresh.

It is slicing the other way round. Of every tensor the leading corner that both spaces have is the old one: leading
channels of linears, convolutions, norms and tables, of attention the leading heads, of each the leading channels, and
the block at each position of its stage. So a subnet that both spaces have keeps its weights, to the bit.
"""

from __future__ import annotations

from resnas_deploy.arch.elements import BlockElement, elements
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Block
from resnas_deploy.errors import BadInput
from resnas_deploy.weights.checkpoint import Array, Checkpoint

_SAME = ("classes", "image_size", "patch_size")


def widened(supernet: Checkpoint, fresh: Checkpoint, space: SearchSpace) -> Checkpoint:
    """Return the supernet of another space: `fresh`, whose weights are as training begins with them, and what is kept.

    `fresh` has the space's widest network. Where the new space is narrower, leading slices of the old weights remain.
    Raise `BadInput` where the two take other images, or a stem of another kind.
    """
    _check_like(supernet.arch, fresh.arch)
    before, after = _blocks(supernet.arch), _blocks(fresh.arch)
    tensors = {}
    for name, values in fresh.tensors.items():
        if (old := supernet.tensors.get(name)) is None:
            if not name.startswith("patch_head."):  # which training copies from the other head where there is none
                tensors[name] = values  # of a block at a new position
            continue
        place, _, tensor = name.rpartition(".attention.")
        if tensor.startswith("qkv."):
            tensors[name] = _with_corner_of_heads(values, old, (3,), after[place], before[place])
        elif tensor == "projection.weight":
            tensors[name] = _with_corner_of_heads(values, old, (len(values), len(old)), after[place], before[place])
        else:
            tensors[name] = _with_corner(values, old)
    provenance = supernet.provenance.then(f"carried over into the space {space.name}, {space.fingerprint}")
    return Checkpoint(fresh.arch, tensors, provenance, supernet.task, space=space, checked=True)


def _blocks(arch: ArchSpec) -> dict[str, Block]:
    return {element.name: element.block for element in elements(arch) if isinstance(element, BlockElement)}


def _with_corner(values: Array, old: Array) -> Array:
    """Return the values with the leading corner that both have taken from the old ones."""
    found = values.copy()
    corner = tuple(slice(min(sizes)) for sizes in zip(values.shape, old.shape, strict=True))
    found[corner] = old[corner]
    return found


def _with_corner_of_heads(values: Array, old: Array, rows: tuple[int, ...], block: Block, before: Block) -> Array:
    """Return q, k and v's weights or bias, or the projection's weight, by heads and the channels of each.

    `rows` are the sizes of the axis before the heads, in both, or of each.
    """
    by_head = values.reshape(rows[0], block.heads, block.head_dim, -1)
    return _with_corner(by_head, old.reshape(rows[-1], before.heads, before.head_dim, -1)).reshape(values.shape)


def _check_like(before: ArchSpec, after: ArchSpec) -> None:
    for field in _SAME:
        if getattr(before, field) != getattr(after, field):
            raise BadInput(
                f"the space's {field} must be the supernet's {getattr(before, field)}, found {getattr(after, field)}"
            )
    if len(before.stages) != len(after.stages) or (before.stem_mid_width == 0) != (after.stem_mid_width == 0):
        raise BadInput("the space must have as many stages as the supernet, and a stem of its kind")
