"""The choices of one stage of a search space."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnas_deploy.arch.mixer import GLOBAL, mixer_named
from resnas_deploy.arch.spec import MAX_BLOCKS, positive
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.records import as_json

MOST_CHOICES = 256  # of one dimension
GLOBAL_ALONE = (GLOBAL,)  # what a stage's mixers are where nothing is said of them


@dataclass(frozen=True)
class StageSpace:
    """The choices of one stage. Each block chooses its heads, their size and its hidden channels for itself.

    Raises `BadInput` for what leaves no choice, or a stage without a block.
    """

    widths: tuple[int, ...]
    heads: tuple[int, ...]
    head_dims: tuple[int, ...]
    hidden: tuple[int, ...]
    blocks: int  # positions, dropped ones included
    droppable: tuple[int, ...] = ()  # positions, counted from 1
    # Of each block; files and fingerprints of before there were others lack it.
    mixers: tuple[str, ...] = field(
        default=GLOBAL_ALONE,
        metadata=as_json(
            kind=tuple[str, ...] | None,
            read=lambda names: GLOBAL_ALONE if names is None else names,
            write=lambda names: None if names == GLOBAL_ALONE else names,
        ),
    )

    def __post_init__(self) -> None:
        for name in ("widths", "heads", "head_dims", "hidden"):
            check_choices(getattr(self, name), name)
        if not isinstance(self.mixers, tuple):  # of the same names a list is not equal, and has another fingerprint
            raise BadInput(f"mixers must be a tuple of mixers, found {shown(self.mixers)}")
        for mixer in self.mixers:
            mixer_named(mixer, "each of mixers")
        if not 1 <= len(self.mixers) <= MOST_CHOICES or len(set(self.mixers)) != len(self.mixers):
            raise BadInput(f"mixers must be 1 to {MOST_CHOICES} different mixers, found {shown(self.mixers)}")
        positive(self.blocks, "blocks", MAX_BLOCKS)
        wrong = [place for place in self.droppable if not (type(place) is int and 1 <= place <= self.blocks)]
        if wrong or len(set(self.droppable)) != len(self.droppable):
            raise BadInput(
                f"droppable must be different positions from 1 to blocks = {self.blocks}, found {shown(self.droppable)}"
            )
        if len(self.droppable) == self.blocks:
            raise BadInput(f"droppable must leave one of the {self.blocks} blocks or more, found all of them")


def check_choices(choices: tuple[int, ...], field: str) -> None:
    """Raise `BadInput`, which names `field`, for what are not some different sizes."""
    if not 1 <= len(choices) <= MOST_CHOICES or len(set(choices)) != len(choices):
        raise BadInput(f"{field} must be 1 to {MOST_CHOICES} different sizes, found {shown(choices)}")
    for choice in choices:
        positive(choice, f"each of {field}")
