"""Who takes part: our published networks, those of other papers, and a user's own, and the source of each top-1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.measuring.peer_specs import PEERS, PeerSpec, title_of

OURS, YOURS = "ViT-ResNAS", "yours"  # families
_PAPER = "ViT-ResNAS, arXiv 2109.00642, table 3"


@dataclass(frozen=True)
class Contender:
    """A network of the comparison, and how accurate it is said to be."""

    name: str
    source: str  # of its measurements: the name, or an artifact's folder as it was given
    family: str
    gmacs: float  # billions of multiply-accumulates for one image, as published; counted where it is an artifact
    parameters: int
    image_size: int
    top1: float | None  # per cent
    top1_is: Literal["published", "given", "measured", "unknown"]  # where it comes from
    top1_from: str  # the paper and its table, or what it was measured on
    trained: bool  # whether the weights that were timed are; published networks are timed with untrained ones


def contenders(
    networks: Sequence[str],
    artifacts: Sequence[Artifact],
    top1: Mapping[str, float],
    specs: Mapping[str, PeerSpec] = PEERS,
) -> tuple[Contender, ...]:
    """Return those of the names, all where none is given, and the artifacts. Raise `BadInput` for an unknown name.

    `top1` is in per cent, by the names of artifacts.
    """
    known = {**{name: _ours(name) for name in PUBLISHED}, **{name: _peer(spec) for name, spec in specs.items()}}
    if wrong := [name for name in networks if name not in known]:
        raise BadInput(f"`networks` must be of {', '.join(known)}, found {shown(wrong[0])}")
    found = [known[name] for name in dict.fromkeys(networks)] if networks else list(known.values())
    names = {contender.name for contender in found}
    for artifact in artifacts:
        name = _unused(artifact.folder.resolve().name, names)
        names.add(name)
        found.append(_yours(name, artifact))
    own = {contender.name for contender in found if contender.family == YOURS}
    if foreign := [name for name in top1 if name not in own]:
        wanted = f"of {', '.join(own)}" if own else "that of an artifact that is measured too"
        raise BadInput(f"the name in `top1` must be {wanted}, found {shown(foreign[0])}")
    return tuple(
        replace(each, top1=top1[each.name], top1_is="given", top1_from="the user") if each.name in top1 else each
        for each in found
    )


def read_top1(texts: Sequence[str]) -> dict[str, float]:
    """Read `NAME=81.2`, per cent, by name. Raise `BadInput`."""
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = -1.0
        if not name or not 0 <= found[name] <= 100:
            raise BadInput(f"`top1` must be a name and per cent, such as mine=81.2, found {shown(text)}")
    return found


def _ours(name: str) -> Contender:
    published = PUBLISHED[name]
    arch = published.arch
    return Contender(
        name, name, OURS, macs(arch) / 1e9, parameters(arch), arch.image_size, published.top1, "published", _PAPER,
        trained=False,
    )  # fmt: skip


def _peer(spec: PeerSpec) -> Contender:
    return Contender(
        spec.name, spec.name, title_of(spec.name), spec.gmacs, spec.parameters, spec.image_size, spec.top1, "published",
        spec.top1_from, trained=False,
    )  # fmt: skip


def _yours(name: str, artifact: Artifact) -> Contender:
    arch, manifest = artifact.arch, artifact.manifest
    accuracy = manifest.verification.accuracy if manifest.verification else None
    return Contender(
        name=name,
        source=artifact.source,
        family=YOURS,
        gmacs=macs(arch) / 1e9,
        parameters=parameters(arch),
        image_size=arch.image_size,
        top1=accuracy.graph if accuracy else None,
        top1_is="measured" if accuracy else "unknown",
        top1_from=f"its manifest: {accuracy.images} images of {accuracy.data}" if accuracy else "",
        trained=manifest.provenance.trained,
    )


def _unused(name: str, names: set[str]) -> str:
    """Return a name that no other network has."""
    number, found = 1, name
    while found in names:
        number += 1
        found = f"{name} ({number})"
    return found
