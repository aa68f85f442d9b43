"""Search spaces: those of the package, and files of one's own. `docs/spaces.md` has the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.evolve import evolve as evolve
from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.api.shape import shape as shape
from resnas_deploy.arch.cost import macs, parameters, weight_bytes
from resnas_deploy.arch.memory import memory_bytes
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.arch.space_ends import ends
from resnas_deploy.arch.space_notes import oddities
from resnas_deploy.arch.space_size import count_architectures, count_subnets, counted, power_of_ten
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import first_few
from resnas_deploy.files import records
from resnas_deploy.files.user_folders import data_folder
from resnas_deploy.measuring.latency.ranges import LatencyRange, latency_ranges
from resnas_deploy.measuring.latency.store import usual_store
from resnas_deploy.weights.space_files import packaged_spaces, space_file, space_named
from resnas_deploy.weights.space_text import space_text

_CHOICES = ("widths", "heads", "head_dims", "hidden", "mixers")
_LIST = ("name", "stages", "blocks", "pixels", "subnets", "GMACs", "parameters, M", "fp32 MB", "with activations")


@dataclass(frozen=True)
class Range:
    """A cost of the narrowest and of the widest subnet, between which all others lie."""

    least: int
    most: int


@dataclass(frozen=True)
class Space(Tabular):
    """A search space with its number of subnets and what they cost."""

    space: SearchSpace
    subnets: int  # that differ in what they compute, exactly
    architectures: int  # that these are: two subnets may keep other blocks of the supernet and be networks alike
    macs: Range  # of an image
    parameters: Range
    weight_bytes: Range  # in fp32
    memory_bytes: Range  # in fp32 and batch 1: weights, and activations at their peak
    latencies: tuple[LatencyRange, ...]  # wherever it was profiled
    notes: tuple[str, ...]  # what is odd about it

    def to_json(self) -> dict[str, object]:
        """Return what `resnas space show --json` prints."""
        return records.to_json(self)

    def to_toml(self) -> str:
        """Return it as a file to begin one's own with."""
        return space_text(self.space)

    @property
    def counted(self) -> str:
        """Its number of subnets for people."""
        return counted(self.space)

    def table(self) -> Table:
        """Return a row for each cost."""
        figures = _figures(self) | {_profile(item): (item.least_ms, item.most_ms) for item in self.latencies}
        rows = [(name, f"{low:.4g}", f"{high:.4g}") for name, (low, high) in figures.items()]
        return Table(f"{self.space.name}: {self.counted}", ("an image", "narrowest", "widest"), rows)

    def choices(self) -> Table:
        """Return a row for each stage: what it chooses from."""
        rows = [(str(number), *_row(stage)) for number, stage in enumerate(self.space.stages, start=1)]
        mid = _listed(self.space.stem_mid_widths)
        stem = f"stem of mid width {mid}" if mid != "0" else "plain stem"
        title = f"{self.space.image_size} pixels, patches of {self.space.patch_size}, {stem}"
        return Table(title, ("stage", *_CHOICES, "blocks", "droppable"), rows, text_columns=8)


@dataclass(frozen=True)
class Spaces(Tabular):
    """Search spaces; iterating gives each."""

    spaces: tuple[Space, ...]

    def __iter__(self) -> Iterator[Space]:
        return iter(self.spaces)

    def to_json(self) -> object:
        """Return what `resnas space list --json` prints."""
        return [space.to_json() for space in self.spaces]

    def table(self) -> Table:
        """Return a row for each."""
        rows = [_line(space) for space in self.spaces]
        heads: tuple[str, ...] = _LIST
        if any(space.latencies for space in self.spaces):
            heads = (*heads, "latency, ms")
            rows = [(*row, _latency(space)) for row, space in zip(rows, self.spaces, strict=True)]
        return Table("Search spaces of the package", heads, rows, text_columns=4)


@checked
def list(*, store: str | Path | None = None) -> Spaces:  # noqa: A001  the command's name
    """List the search spaces of the package: their subnets, and what these cost.

    Args:
        store: the file that holds latency profiles; the user's own where none is named.
    """
    return Spaces(tuple(_described(space, store) for space in packaged_spaces().values()))


@checked
def show(space: str | Path | SearchSpace, *, store: str | Path | None = None) -> Space:
    """Return a search space with its number of subnets and what they cost.

    Args:
        space: the name of one of the package, a TOML file, a supernet's checkpoint, or a `SearchSpace`.
        store: the file that holds latency profiles; the user's own where none is named.

    Raise `BadInput` for anything else.
    """
    return _described(space_named(space), store)


@checked
def check(space: str | Path, *, store: str | Path | None = None) -> Space:
    """Read a search space strictly, and note what is odd about it.

    Args:
        space: a TOML file.
        store: the file that holds latency profiles; the user's own where none is named.

    Raise `BadInput`, which names the line, for what is wrong.
    """
    return _described(space_file(Path(space)), store)


def _described(space: SearchSpace, store: str | Path | None) -> Space:
    def ranged(cost: Callable[[ArchSpec], int]) -> Range:
        return Range(*map(cost, ends(space, lambda archs: [cost(arch) for arch in archs])))

    return Space(
        space=space,
        subnets=count_subnets(space),
        architectures=count_architectures(space),
        macs=ranged(macs),
        parameters=ranged(parameters),
        weight_bytes=ranged(weight_bytes),
        memory_bytes=ranged(memory_bytes),
        latencies=latency_ranges(space, place) if (place := _store(store)) else (),
        notes=tuple(oddities(space)),
    )


def _store(path: str | Path | None) -> Path | None:
    """Return where profiles are kept; None for a user without a home, who has none."""
    if path:
        return Path(path)
    return usual_store() if data_folder() else None


def _profile(item: LatencyRange) -> str:
    return f"ms on {item.setting.machine}: {item.setting}"


def _latency(found: Space) -> str:
    """Return the ranges for people, as many as a line takes."""
    ranges = [
        f"{item.least_ms:.3g}-{item.most_ms:.3g} ({item.setting.runner} {item.setting.precision} x{item.setting.batch})"
        for item in found.latencies
    ]
    return first_few(ranges, 2)


def _figures(found: Space) -> dict[str, tuple[float, float]]:
    """Return the costs of the narrowest and the widest subnet for people, by name and unit."""
    units = (
        ("GMACs", found.macs, 1e9),
        ("parameters, M", found.parameters, 1e6),
        ("weights in fp32, MB", found.weight_bytes, 1e6),
        ("with activations, MB", found.memory_bytes, 1e6),
    )
    return {name: (each.least / unit, each.most / unit) for name, each, unit in units}


def _line(found: Space) -> tuple[str, ...]:
    space = found.space
    blocks = " ".join(
        f"{stage.blocks - len(stage.droppable)}-{stage.blocks}" if stage.droppable else f"{stage.blocks}"
        for stage in space.stages
    )
    ranges = (f"{low:.3g}-{high:.3g}" for low, high in _figures(found).values())
    size = str(space.image_size)
    return (space.name, str(len(space.stages)), blocks, size, power_of_ten(found.subnets), *ranges)


def _row(stage: StageSpace) -> tuple[str, ...]:
    return (*(_listed(getattr(stage, name)) for name in _CHOICES), str(stage.blocks), _listed(stage.droppable))


def _listed(sizes: tuple[object, ...]) -> str:
    return " ".join(map(str, sizes)) or "none"
