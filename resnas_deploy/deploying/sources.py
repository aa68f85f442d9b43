"""What is deployed: a checkpoint, a subnet of one or an architecture, to export artifacts from; or artifacts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.artifact import MANIFEST, Artifact, open_artifact
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.source import Source, read_source
from resnas_deploy.files.atomic import lexical
from resnas_deploy.weights.checkpoint import file_digest

CHECKPOINT = "checkpoint.safetensors"  # in the folder of a search, and of a run of training


@dataclass(frozen=True)
class Sources:
    """What is deployed."""

    names: tuple[str, ...]  # as they were given
    name: str  # that people call the network by
    digest: str  # of what exports are made of, or of the artifacts' graphs
    checkpoint: Path | None = None
    artifacts: tuple[Artifact, ...] = ()


def find_sources(
    given: Sequence[str | Path | Artifact], arch: str | Path | ArchSpec | None, subnet: str | Path
) -> Sources:
    """Return what is to be deployed. Raise `BadInput` where there is nothing, or several things at once."""
    places = [each if isinstance(each, Artifact) else Path(each) for each in given]
    if not (places or arch):
        raise BadInput("there must be a checkpoint, artifacts or `arch`, found none; try `arch` small")
    artifacts = tuple(
        each if isinstance(each, Artifact) else open_artifact(each)
        for each in places
        if isinstance(each, Artifact) or (each / MANIFEST).exists()
    )
    if artifacts:
        return _of_artifacts(artifacts, places, arch, subnet)
    checkpoints = [_checkpoint(each) for each in places if isinstance(each, Path)]
    if len(checkpoints) > 1:
        raise BadInput(f"`sources` must be one checkpoint, or artifacts of one network, found {len(checkpoints)} files")
    path = checkpoints[0] if checkpoints else None
    source = read_source(arch or None, path, subnet)
    weights = file_digest(path) if path else "untrained, seed 0"
    made_of = [weights, source.arch.fingerprint if source.arch else "", source.definition]
    return Sources(
        names=tuple(map(str, places)) or (source.name,),
        name=_called(source, path),
        digest=json.dumps(made_of),
        checkpoint=path,
    )


def _of_artifacts(
    artifacts: tuple[Artifact, ...],
    places: Sequence[Path | Artifact],
    arch: str | Path | ArchSpec | None,
    subnet: str | Path,
) -> Sources:
    if len(artifacts) < len(places):
        other = next(each for each in places if isinstance(each, Path) and not (each / MANIFEST).exists())
        raise BadInput(f"`sources` must be one checkpoint, or artifacts alone, found artifacts and {other}")
    for what, value in (("arch", arch), ("subnet", subnet)):
        if value:
            raise BadInput(
                f"`{what}` must come with a checkpoint or alone, found artifacts, which say it; leave it out"
            )
    if len({each.arch.fingerprint for each in artifacts}) > 1:
        raise BadInput(
            f"artifacts must be of one network, found {artifacts[0].folder} and others; deploy them one after the other"
        )
    return Sources(
        names=tuple(str(each.folder) for each in artifacts),
        name=lexical(artifacts[0].folder).name,
        digest=json.dumps([each.digest for each in artifacts]),
        artifacts=artifacts,
    )


def _checkpoint(place: Path) -> Path:
    """Return the file of a checkpoint, that of a folder which a search or training has written."""
    if place.is_dir():
        if not (place / CHECKPOINT).is_file():
            raise BadInput(
                f"a folder to deploy must be an artifact, or that of a search or of training with a {CHECKPOINT}, "
                f"found neither in {place}"
            )
        return place / CHECKPOINT
    return place


def _called(source: Source, path: Path | None) -> str:
    """Return the network's name; that of its folder where the file is called as all are."""
    if path and path.name == CHECKPOINT:
        return lexical(path).parent.name or source.name
    return source.name
