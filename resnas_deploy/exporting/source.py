"""The weights that an export starts from: seeded ones for an architecture, a checkpoint's, or a subnet's out of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.arch.mixer import GLOBAL, Mixer, mixer_named
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, first_few
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.weights.arch_files import read_arch, read_definition
from resnas_deploy.weights.checkpoint import Checkpoint, load, untrained
from resnas_deploy.weights.resize import resize
from resnas_deploy.weights.schema import shape_differences
from resnas_deploy.weights.slicing import slice_subnet
from resnas_deploy.weights.vit_search.network_def import parse_network_def


@dataclass(frozen=True)
class Source:
    """Where weights come from: `read_source` makes one."""

    name: str  # that people call the network by
    arch: ArchSpec | None  # alone: untrained weights; with a checkpoint: what that must hold
    checkpoint: Path | Checkpoint | None
    definition: str  # a `network_def`: this subnet of the checkpoint's supernet; empty: all of it
    seed: int  # of untrained weights
    image_size: int | None  # pixels a side; None: the network's own

    def load(self) -> Checkpoint:
        """Return the weights, at the asked image size. Raise `BadInput` where they are not those of `arch`."""
        if self.checkpoint is None:
            if self.arch is None:
                raise BadInput("there must be `arch` or `checkpoint`, found neither")
            return _seeded(self.arch, self.seed, self.image_size)
        weights = self.checkpoint if isinstance(self.checkpoint, Checkpoint) else load(self.checkpoint)
        if self.definition:
            arch = weights.arch
            subnet = parse_network_def(self.definition, image_size=arch.image_size, patch_size=arch.patch_size)
            _check_attends_to_all(weights.space)
            weights = slice_subnet(weights, subnet)
        if self.arch:
            _check_same(self.arch.with_image_size(weights.arch.image_size), weights, self.checkpoint)
        if self.image_size:
            _check_image_size(weights.arch.with_image_size(self.image_size))
            weights = resize(weights, self.image_size)
        return weights


def read_source(
    arch: str | Path | ArchSpec | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    subnet: str | Path = "",
    seed: int | None = None,
    image_size: int | None = None,
) -> Source:
    """Return where weights come from; those of a checkpoint are not read yet.

    Raise `BadInput` where there is nothing, or something that would be ignored, and for what is no architecture.
    """
    if not arch and checkpoint is None:
        raise BadInput("there must be `arch` or `checkpoint`, found neither; try `arch` small")
    if subnet and checkpoint is None:
        raise BadInput("`subnet` must come with the `checkpoint` of a supernet, found no checkpoint")
    if seed is not None and checkpoint is not None:
        raise BadInput("`seed` must come without `checkpoint`, since it is that of untrained weights, found both")
    return Source(
        name=_name(arch or checkpoint) + ("-subnet" if subnet and not arch else ""),
        arch=arch if isinstance(arch, ArchSpec) else read_arch(arch) if arch else None,
        checkpoint=Path(checkpoint) if isinstance(checkpoint, str) else checkpoint,
        definition=read_definition(subnet) if subnet else "",
        seed=seed or 0,
        image_size=image_size,
    )


def _name(of: str | Path | ArchSpec | Checkpoint | None) -> str:
    """Return a published name, or that of the file."""
    if isinstance(of, (ArchSpec, Checkpoint)):
        arch = of if isinstance(of, ArchSpec) else of.arch
        published = (name for name, entry in PUBLISHED.items() if entry.arch == arch)
        return next(published, f"network-{arch.fingerprint[:8]}")
    return Path(of or "").stem  # of a published name, that itself


def _seeded(arch: ArchSpec, seed: int, image_size: int | None) -> Checkpoint:
    arch = arch.with_image_size(image_size) if image_size else arch
    _check_image_size(arch)
    return untrained(arch, seed)


def _check_image_size(arch: ArchSpec) -> None:
    """Refuse what preprocessing cannot make, before the gigabytes of its position tables are asked for."""
    Preprocessing.for_image_size(arch.image_size)


def _check_attends_to_all(space: SearchSpace | None) -> None:
    """Refuse a `network_def`, which has no word for mixers, where a stage of the supernet cannot be `global`."""
    for number, stage in enumerate(space.stages if space else ()):
        if space and all(mixer_named(name).at(space.side(number)) != Mixer() for name in stage.mixers):
            raise BadInput(
                f"stage {number + 1} of the supernet must have the mixer {GLOBAL}, all that a network_def can say, "
                f"found {', '.join(stage.mixers)}; give the checkpoint that `search()` wrote of the subnet"
            )


def _check_same(arch: ArchSpec, weights: Checkpoint, checkpoint: str | Path | Checkpoint) -> None:
    if arch != weights.arch:
        lines = shape_differences({name: tensor.shape for name, tensor in weights.tensors.items()}, arch)
        found = first_few(lines) if lines else "the same tensors, but heads of other widths"
        name = "`checkpoint`" if isinstance(checkpoint, Checkpoint) else checkpoint
        raise BadInput(f"{name} must hold the weights of `arch`, found another network's: {found}")
