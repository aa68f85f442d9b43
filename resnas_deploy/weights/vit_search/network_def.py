"""`network_def`, the reference's notation of a network, to and from our own data.

A tuple of entries: `(4, width)`, `(5, width, mid)` or `(0, width)` the stem; `(1, (width, heads, head_dim), (width,
hidden), exists)` a block; `(3, in, out)` a reduction; `(2, width, classes)` the head. A block whose `exists` is 0 is
dropped.
"""

from __future__ import annotations

import ast
from typing import TypeGuard

from resnas_deploy.arch.mixer import GLOBAL
from resnas_deploy.arch.spec import FEWEST_STAGES, MOST_STAGES, ArchSpec, Block, Stage, Subnet, positive
from resnas_deploy.errors import BadInput

MAX_CHARACTERS = 100_000  # of a definition's text: a published one has about 1,000
DEFAULT_MID_WIDTH = 24  # of the type-4 stem
STEM_PLAIN, BLOCK, HEAD, REDUCTION, STEM, STEM_WITH_MID = 0, 1, 2, 3, 4, 5


def parse_network_def(text: str, *, image_size: int = 224, patch_size: int = 14) -> Subnet:
    """Read a `network_def`. Only literals are read; nothing is evaluated. Raise `BadInput` naming the entry."""
    entries = _literal(text)
    stem_width, mid_width = _stem(entries[0])
    head_width, classes = _integers(entries[-1], "the last entry of the network_def", (HEAD, "width", "classes"))

    width, stages, blocks = stem_width, list[tuple[int, list[tuple[Block, bool]]]](), list[tuple[Block, bool]]()
    for number, entry in enumerate(entries[1:-1], start=2):
        where = f"entry {number} of the network_def"
        kind = _kind(entry)
        if _is_tuple(entry) and kind == BLOCK:
            blocks.append(_block(entry, width, where))
        elif kind == REDUCTION:
            before, after = _integers(entry, where, (REDUCTION, "in", "out"))
            _chains(before, width, where)
            stages.append((width, blocks))
            width, blocks = after, []
        else:
            raise BadInput(f"{where} must be a block (1, ..) or a reduction (3, ..), found {_short(entry)}")
    _chains(head_width, width, "the last entry of the network_def")
    stages.append((width, blocks))
    if not FEWEST_STAGES <= len(stages) <= MOST_STAGES:
        raise BadInput(
            f"a network_def must have {FEWEST_STAGES - 1} to {MOST_STAGES - 1} reductions (3, ..), "
            f"found {len(stages) - 1}"
        )

    arch = ArchSpec(
        stages=tuple(Stage(width, tuple(block for block, _ in pairs)) for width, pairs in stages),
        classes=classes,
        image_size=image_size,
        patch_size=patch_size,
        stem_mid_width=mid_width,
    )
    return Subnet(arch, tuple(tuple(kept for _, kept in pairs) for _, pairs in stages))


def format_network_def(subnet: Subnet) -> str:
    """Write a subnet as a `network_def`; `parse_network_def` is its inverse (image and patch size are not in it)."""
    arch = subnet.full
    first = arch.stages[0].width
    entries: list[object] = [
        {0: (STEM_PLAIN, first), DEFAULT_MID_WIDTH: (STEM, first)}.get(
            arch.stem_mid_width, (STEM_WITH_MID, first, arch.stem_mid_width)
        )
    ]
    for index, (stage, flags) in enumerate(zip(arch.stages, subnet.kept, strict=True)):
        if index:
            entries.append((REDUCTION, arch.stages[index - 1].width, stage.width))
        for block, kept in zip(stage.blocks, flags, strict=True):
            if block.mixer != GLOBAL:
                raise BadInput(
                    f"a network_def must be of blocks with the mixer global, found {block.mixer} in stages[{index}]; "
                    "write the architecture as JSON"
                )
            attention, mlp = (stage.width, block.heads, block.head_dim), (stage.width, block.hidden)
            entries.append((BLOCK, attention, mlp, int(kept)))
    entries.append((HEAD, arch.stages[-1].width, arch.classes))
    return repr(tuple(entries))


def _literal(text: str) -> tuple[object, ...]:
    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"a network_def must have at most {MAX_CHARACTERS} characters, found {len(text)}")
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise BadInput(
            f"a network_def must be one tuple of numbers and tuples (nothing is evaluated), found {_short(text)}"
        ) from None
    if not _is_tuple(value) or len(value) < 2:
        raise BadInput(f"a network_def must be a tuple of a stem, blocks, reductions and a head, found {_short(value)}")
    return value


def _stem(entry: object) -> tuple[int, int]:
    where = "the first entry of the network_def"
    kind = _kind(entry)
    if kind == STEM_WITH_MID:
        width, mid = _integers(entry, where, (STEM_WITH_MID, "width", "mid"))
        return width, mid
    if kind in (STEM, STEM_PLAIN):
        (width,) = _integers(entry, where, (STEM if kind == STEM else STEM_PLAIN, "width"))
        return width, DEFAULT_MID_WIDTH if kind == STEM else 0
    raise BadInput(f"{where} must be a stem: (4, width), (5, width, mid) or (0, width), found {_short(entry)}")


def _block(entry: tuple[object, ...], width: int, where: str) -> tuple[Block, bool]:
    shape = "(1, (width, heads, head_dim), (width, hidden), exists)"
    if len(entry) != 4 or type(entry[3]) is not int or entry[3] not in (0, 1):
        raise BadInput(f"{where} must be {shape} with exists 0 or 1, found {_short(entry)}")
    attention_width, heads, head_dim = _integers(entry[1], where, ("width", "heads", "head_dim"))
    mlp_width, hidden = _integers(entry[2], where, ("width", "hidden"))
    _chains(attention_width, width, where)
    _chains(mlp_width, width, where)
    return Block(heads, head_dim, hidden), entry[3] == 1


def _integers(entry: object, where: str, form: tuple[int | str, ...]) -> list[int]:
    """Return the positive integers of `entry` at the names in `form`, whose numbers must be there as they are."""
    shape = f"({', '.join(map(str, form))})"
    if not _is_tuple(entry) or len(entry) != len(form):
        raise BadInput(f"{where} must be {shape}, found {_short(entry)}")
    if isinstance(form[0], int) and _kind(entry) != form[0]:
        raise BadInput(f"{where} must be {shape}, found {_short(entry)}")
    pairs = zip(entry, form, strict=True)
    return [positive(value, f"{name} in {where}") for value, name in pairs if isinstance(name, str)]


def _kind(entry: object) -> int | None:
    """Return the number that says what an entry is, or None. True and 1.0 equal 1 but are no such number."""
    return entry[0] if _is_tuple(entry) and entry and type(entry[0]) is int else None


def _chains(found: int, expected: int, where: str) -> None:
    if found != expected:
        raise BadInput(f"{where} must continue at width {expected}, what comes before it, found {found}")


def _is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    return isinstance(value, tuple)


def _short(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # Python does not write integers of thousands of digits
        return "a number of thousands of digits"
    text = " ".join(text.split())
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 60 else f"{text[:57]}..."
