"""The choices of a space: what each candidate took, and as numbers, which go with accuracy and with cost.

A mixer is what it is on the stage's grid. As numbers each has its own: whether a block has it.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.spec import ArchSpec, Block, Subnet
from resnas_deploy.arch.stage_space import MOST_CHOICES

Values = NDArray[np.float64]
KEPT, MIXER = "kept", "mixer"
_BLOCK: dict[str, Callable[[Block], int]] = {
    "heads": lambda block: block.heads,
    "head dim": lambda block: block.head_dim,
    "hidden": lambda block: block.hidden,
}
# As architecture.js has them; the first ones are a byte each.
_LETTERS = string.digits + string.ascii_letters + "".join(map(chr, range(0x4E00, 0x4E00 + MOST_CHOICES)))


@dataclass(frozen=True)
class Choice:
    """What may differ from subnet to subnet."""

    what: str  # width, kept, heads, head dim, hidden, mixer; or as a number, a mixer's name
    stage: int = 0  # counted from 1; 0: of the whole network
    block: int = 0  # position in the stage, counted from 1; 0: of the whole stage

    def __str__(self) -> str:
        block = f", block {self.block}" if self.block else ""
        return f"stage {self.stage}{block}: {self.what}" if self.stage else self.what


def choices(subnet: Subnet) -> tuple[Choice, ...]:
    """Return what a subnet of its space has to choose."""
    found = [Choice("stem width"), Choice("image size")]
    for number, stage in enumerate(subnet.full.stages, start=1):
        found.append(Choice("width", number))
        for position in range(1, len(stage.blocks) + 1):
            found += [Choice(what, number, position) for what in (KEPT, *_BLOCK, MIXER)]
    return tuple(found)


def taken(subnet: Subnet) -> list[int | str]:
    """Return what a subnet has chosen, in the order of `choices`; `kept` is 1 or 0, a mixer its name."""
    full = subnet.full
    found: list[int | str] = [full.stem_mid_width, full.image_size]
    for number, (stage, kept) in enumerate(zip(full.stages, subnet.kept, strict=True)):
        found.append(stage.width)
        for block, keep in zip(stage.blocks, kept, strict=True):
            found += [int(keep), *(value(block) for value in _BLOCK.values()), _mixer(block, full, number)]
    return found


def _mixer(block: Block, arch: ArchSpec, stage: int) -> str:
    """Return the name of what a block's mixer is on the grid of its stage, counted from 0."""
    return str(block.mixer_at(arch.side(stage)))


@dataclass(frozen=True)
class Encoding:
    """Subnets as short texts: a letter for each choice of more than one value, of those that the subnets have made."""

    values: dict[Choice, tuple[int | str, ...]]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, subnets: Sequence[Subnet]) -> Encoding:
        """Encode subnets of one space."""
        if not subnets:
            return cls({}, ())
        columns = list(zip(*map(taken, subnets), strict=True))
        values = [tuple(sorted(set(column))) for column in columns]
        letters = [
            [_LETTERS[found.index(value)] for value in column]
            for column, found in zip(columns, values, strict=True)
            if len(found) > 1
        ]
        texts = ("".join(letter) for letter in zip(*letters, strict=True)) if letters else ("" for _ in subnets)
        return cls(dict(zip(choices(subnets[0]), values, strict=True)), tuple(texts))

    def to_json(self) -> list[dict[str, object]]:
        """Return the choices in the order of the letters."""
        return [
            {"stage": choice.stage, "block": choice.block, "what": choice.what, "values": list(found)}
            for choice, found in self.values.items()
        ]


def one_by_one(subnets: Sequence[Subnet]) -> dict[str, Values]:
    """Return every choice as a number, `(subnets,)` each; what a dropped block would have is not a number.

    In the place of a mixer stands whether the block has it, for each that some of the subnets have there.
    """
    if not subnets:
        return {}
    found: dict[Choice, Values] = {}
    for choice, column in zip(choices(subnets[0]), zip(*map(taken, subnets), strict=True), strict=True):
        if choice.what == MIXER:
            names = sorted(map(str, set(column)))
            found |= {replace(choice, what=name): np.array([own == name for own in column], float) for name in names}
        else:
            found[choice] = np.array(column, dtype=np.float64)
    for choice, values in found.items():
        if choice.block and choice.what != KEPT:
            values[found[Choice(KEPT, choice.stage, choice.block)] == 0] = np.nan
    return {str(choice): values for choice, values in found.items()}


def in_short(subnets: Sequence[Subnet]) -> dict[str, Values]:
    """Return for each stage its width, its depth, the means of its blocks and the share of them that has each mixer.

    Each is `(subnets,)`.
    """
    rows = [_short(subnet) for subnet in subnets]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, 0) for row in rows], dtype=np.float64) for name in names}


def _short(subnet: Subnet) -> dict[str, float]:
    arch = subnet.arch
    found: dict[str, float] = {"stem width": arch.stem_mid_width, "image size": arch.image_size}
    for number, stage in enumerate(arch.stages, start=1):
        found[f"stage {number}: width"] = stage.width
        found[f"stage {number}: blocks"] = len(stage.blocks)
        for name, value in _BLOCK.items():
            found[f"stage {number}: {name}, mean of its blocks"] = float(np.mean([value(b) for b in stage.blocks]))
        mixers = [_mixer(block, arch, number - 1) for block in stage.blocks]
        for mixer in sorted(set(mixers)):
            found[f"stage {number}: {mixer}, share of its blocks"] = mixers.count(mixer) / len(mixers)
    return found


def rank_correlation(first: Values, second: Values) -> float | None:
    """Return Spearman's rank correlation where both are numbers; None where either is always the same."""
    from scipy import stats  # takes half a second to import

    both = ~(np.isnan(first) | np.isnan(second))
    one, other = first[both], second[both]
    if len(one) < 3 or not np.ptp(one) or not np.ptp(other):
        return None
    ranks = [stats.rankdata(values) for values in (one, other)]
    return float(np.asarray(np.corrcoef(ranks))[0, 1])  # `spearmanr` takes most of its time for the p-value
