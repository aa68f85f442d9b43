"""`found.json`: what a search looked for, and its finalists, which lie beside it as artifacts.

The folder can be copied to the machine that the finalists are measured on, and anywhere else: paths are relative to it,
and none leads out of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.artifact.artifact import WEIGHTS, Artifact, open_artifact
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files import records
from resnas_deploy.files.atomic import write_json
from resnas_deploy.files.reading import read_json
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.costs import CostName
from resnas_deploy.searching.measured_limits import MeasuredLimit

FOUND, FINALISTS = "found.json", "finalists"
ANCHOR = "anchor"
NAME_THE_SEARCH = "name the `out` of `search()`"
SCHEMA = 1
MOST_BYTES = 32_000_000
_FOLDER = re.compile(rf"{FINALISTS}/[A-Za-z0-9_-]+")  # one level below the search's folder, and nowhere else

Document = TypeVar("Document")


@dataclass(frozen=True)
class ExportedAccuracy:
    """How many of the images that candidates are scored on an artifact itself gets right."""

    correct: int
    images: int
    runner: str  # which it ran on

    @property
    def top1(self) -> float:
        """Return the share, from 0 to 1."""
        return self.correct / max(1, self.images)


@dataclass(frozen=True)
class FoundFinalist:
    """A finalist: its artifact, and what the search knows of it."""

    artifact: str  # its folder, relative to the search's
    digest: str  # sha256 of its graph
    weights: str  # sha256 of its file of weights, from which the winner's checkpoint is made
    fingerprint: str  # of its architecture
    subnet: Subnet
    score: Score  # with the supernet's weights
    iteration: int  # of the search
    costs: tuple[float, ...]  # as predicted, in the order of `Found.costs`
    highest: tuple[float, ...]  # what each stays below with the search's confidence
    accuracy: ExportedAccuracy | None = None  # in its own precision, where that is quantised

    def __post_init__(self) -> None:
        if not _FOLDER.fullmatch(self.artifact):
            raise BadInput(f"artifact must be a folder in {FINALISTS}/, found {shown(self.artifact)}")
        if self.fingerprint != self.subnet.arch.fingerprint:
            raise BadInput(f"fingerprint must be the subnet's {self.subnet.arch.fingerprint}, found {self.fingerprint}")

    @property
    def candidate(self) -> Candidate:
        """Return it as the search has it."""
        return Candidate(self.subnet, self.score, self.costs, self.iteration)

    def opened(self, folder: Path) -> Artifact:
        """Open its artifact in a search's folder. Raise `BadInput` where it is not the one that the search wrote."""
        return _opened(folder, self.artifact, self.digest, self.weights)


@dataclass(frozen=True)
class FoundAnchor:
    """The network that the profile was measured beside, which finalists are measured beside too: an artifact."""

    digest: str  # sha256 of its graph
    weights: str  # sha256 of its file of weights
    ms: float  # the median time of a batch while the space was profiled

    def __post_init__(self) -> None:
        if not self.ms > 0:
            raise BadInput(f"the anchor's ms must be above 0, found {self.ms}")

    def opened(self, folder: Path) -> Artifact:
        """Open its artifact in a search's folder. Raise `BadInput` where it is not the one that the search wrote."""
        return _opened(folder, ANCHOR, self.digest, self.weights)


def _opened(folder: Path, artifact: str, digest: str, weights: str) -> Artifact:
    place = folder / artifact
    if Path(os.path.realpath(place)) != Path(os.path.realpath(folder)) / artifact:
        raise BadInput(f"{place} must lie in {folder}, found a link out of it; copy the folder with `cp -rL`")
    found = open_artifact(place)
    if (found.digest, found.manifest.files[WEIGHTS]) != (digest, weights):
        raise BadInput(
            f"{place} must be the artifact that the search wrote, of digest {digest[:12]}, found another one, "
            f"{found.digest[:12]}; copy the search's folder again"
        )
    return found


@dataclass(frozen=True)
class Searched:
    """What a search looked through."""

    space: SearchSpace
    data: str  # that candidates are scored on
    held_out: int  # images of it
    asked: str  # the limits in words
    limits: Mapping[str, float]  # the most, by the name of the cost


@dataclass(frozen=True)
class Found:
    """What a search looked for and how, and its finalists, in the order in which they are measured."""

    searched: Searched
    supernet: str  # digest of its weights
    search: str  # all that the candidates depend on, under which search.sqlite has them
    pareto: bool
    costs: tuple[CostName, ...]
    limits: tuple[MeasuredLimit, ...]  # on what is measured
    setting: Setting  # that finalists are measured in; its machine and its version are empty where any will do
    together: int  # finalists that are measured together; the next ones only if none of these keeps the limits
    finalists: tuple[FoundFinalist, ...]
    predictor: bool = False  # chose the candidates
    anchor: FoundAnchor | None = None  # where there is a profile
    DERIVED: ClassVar = {"schema": int}

    def __post_init__(self) -> None:
        if self.together < 1 or not self.finalists:
            raise BadInput("a search must have finalists, found none")
        counts = (len(self.costs),) * 2
        if wrong := [item.fingerprint for item in self.finalists if (len(item.costs), len(item.highest)) != counts]:
            raise BadInput(f"each finalist must have the {len(self.costs)} costs, found other ones of {wrong[0]}")
        names = [name for item in self.finalists for name in (item.artifact, item.digest)]
        if len(set(names)) < len(names):
            raise BadInput("finalists must be different artifacts, found one twice")

    @property
    def space(self) -> str:
        """Return the name of the space."""
        return self.searched.space.name

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"schema": SCHEMA, **records.to_json(self)}

    def write(self, folder: Path) -> None:
        """Write the document into the search's folder. Raise `StorageError` where it cannot be."""
        write_json(folder / FOUND, self.to_json())


def read_found(folder: Path) -> Found:
    """Read the document in a search's folder. Raise `BadInput` where there is none, or another one."""
    path = folder / FOUND
    if not path.exists():
        raise BadInput(
            f"{folder} must be the folder of a search that has finalists, found no {FOUND} there; {NAME_THE_SEARCH}"
        )
    return from_document(Found, read_json(path, MOST_BYTES), path, SCHEMA, "search again")


def from_document(kind: type[Document], data: object, path: Path, schema: int, remedy: str) -> Document:
    """Return what a JSON document of a schema says. Raise `BadInput`, which ends in `remedy` where it is an old one."""
    found = data.get("schema") if isinstance(data, dict) else None
    if type(found) is not int:
        raise BadInput(f"{path} must be a document of a search, found JSON without a schema number")
    if found != schema:
        remedy = "use a newer resnas" if found > schema else remedy
        raise BadInput(f"{path} must have schema {schema}, found {shown(found, 20)}; {remedy}")
    return records.from_json(kind, data, str(path))
