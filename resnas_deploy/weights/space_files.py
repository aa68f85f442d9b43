"""Search spaces as people name them: one of the package, or a TOML file of their own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.reading import read_text
from resnas_deploy.weights.checkpoint import Checkpoint, load
from resnas_deploy.weights.space_text import parse_space

_OF_THE_SUBNETS = ("stages", "patch_size", "stem_mid_width")  # what an architecture has of its space
_CHECKPOINT = ".safetensors"
PACKAGED = ("tiny", "small", "demo")  # the files of arch/spaces


@cache
def packaged_spaces() -> Mapping[str, SearchSpace]:
    """Return the spaces of the package by name."""
    folder = files("resnas_deploy.arch").joinpath("spaces")
    return {name: parse_space(folder.joinpath(f"{name}.toml").read_text(encoding="utf-8"), name) for name in PACKAGED}


def space_named(space: str | Path | SearchSpace) -> SearchSpace:
    """Return the space of the package of that name, or the one in a TOML file, or inside a supernet's checkpoint.

    Raise `BadInput` for anything else.
    """
    if isinstance(space, SearchSpace):
        return space
    known = packaged_spaces()
    if isinstance(space, str) and space in known:
        return known[space]
    try:
        found = Path(space).is_file()
    except (OSError, ValueError):  # a name that is too long, or has a null character
        found = False
    if not found:
        raise BadInput(
            f"`space` must be one of {', '.join(known)}, a TOML file or a supernet, found {shown(str(space))}"
        )
    path = Path(space)
    return supernet_space(load(path), path) if path.suffix == _CHECKPOINT else space_file(path)


def space_file(path: Path) -> SearchSpace:
    """Return the space in a TOML file. Raise `BadInput`."""
    return parse_space(read_text(path), str(path))


def space_key(space: SearchSpace) -> str:
    """Return what tells the subnets of a space from those of others: the name of one of the package, at any image size.

    What an earlier resnas began, which knew no others, then goes on.
    """
    known = packaged_spaces().get(space.name)
    return space.name if known and known.is_like(space) else space.fingerprint


def naming(space: SearchSpace) -> dict[str, object]:
    """Return the parameters by which functions are told of a space, in messages: of one's own the file's usual name."""
    known = packaged_spaces().get(space.name)
    if not (known and known.is_like(space)):
        return {"space": f"{space.name}.toml"}
    return {"space": space.name, **({} if space.image_size == known.image_size else {"image_size": space.image_size})}


def supernet_space(supernet: Checkpoint, path: Path) -> SearchSpace:
    """Return the space whose supernet this is: its own, or for one that does not say, the package's that fits.

    Raise `BadInput` where there is none.
    """
    if supernet.space:
        return supernet.space
    arch = supernet.arch
    for space in packaged_spaces().values():
        if all(getattr(arch, name) == getattr(space.widest().full, name) for name in _OF_THE_SUBNETS):
            return space.with_classes(arch.classes).with_image_size(arch.image_size)
    raise BadInput(
        f"{path} must be a supernet that has its search space in it, or of one of {', '.join(PACKAGED)}, found another "
        "network; import it with its `space`"
    )
