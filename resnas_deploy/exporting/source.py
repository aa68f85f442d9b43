"""The weights that an export starts from: seeded ones for an architecture, a checkpoint's, or a subnet's out of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.errors import BadInput, first_few
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.weights.checkpoint import Checkpoint, load
from resnas_deploy.weights.resize import resize
from resnas_deploy.weights.schema import differences
from resnas_deploy.weights.slicing import slice_subnet
from resnas_deploy.weights.untrained import untrained


def seeded(arch: ArchSpec, seed: int, image_size: int | None) -> Checkpoint:
    """Untrained weights, at the asked image size in pixels."""
    arch = arch.with_image_size(image_size) if image_size else arch
    _check_image_size(arch)
    return untrained(arch, seed)


def from_checkpoint(
    path: Path, subnet: Callable[[ArchSpec], Subnet] | None, arch: ArchSpec | None, image_size: int | None
) -> Checkpoint:
    """A checkpoint's weights, or those of a subnet that lies in it, resized to the asked image size in pixels.

    `subnet` is told the supernet's architecture. Raises `BadInput` where the weights are not those of `arch`, if given,
    apart from the image size.
    """
    weights = load(path)
    if subnet:
        weights = slice_subnet(weights, subnet(weights.arch))
    if arch:
        _check_same(arch.with_image_size(weights.arch.image_size), weights, path)
    if image_size:
        _check_image_size(weights.arch.with_image_size(image_size))
        weights = resize(weights, image_size)
    return weights


def _check_image_size(arch: ArchSpec) -> None:
    """Refuse what preprocessing cannot make, before the gigabytes of its position tables are asked for."""
    Preprocessing.for_image_size(arch.image_size)


def _check_same(arch: ArchSpec, weights: Checkpoint, path: Path) -> None:
    if arch != weights.arch:
        lines = differences({name: tensor.shape for name, tensor in weights.tensors.items()}, arch)
        found = first_few(lines) if lines else "the same tensors, but heads of other widths"
        raise BadInput(f"{path} must hold the weights of --arch, found another network's: {found}")
