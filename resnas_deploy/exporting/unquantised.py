"""What a quantised graph is made of, kept beside it until it is verified: it may have to be made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import onnx
from onnx import inliner

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.errors import BadInput, first_few
from resnas_deploy.exporting.quantise import quantise
from resnas_deploy.exporting.ranges import Ranges
from resnas_deploy.exporting.scheme import Scheme


@dataclass(frozen=True)
class Unquantised:
    """A graph that is to be quantised, in files, and how."""

    plain: Path  # the graph in the precision around
    twin: Path  # the same graph in float32
    ranges: Ranges
    scheme: Scheme

    @cached_property
    def units(self) -> tuple[str, ...]:
        """The units in which the scheme quantises something, in order."""
        return self.scheme.units(inliner.inline_local_functions(onnx.load(self.plain)))

    def check(self) -> None:
        """Raise `BadInput` where an element that is to be kept has nothing to quantise, or nothing else has."""
        could = replace(self, scheme=replace(self.scheme, kept=())).units
        if idle := [unit for unit in self.scheme.kept if unit not in could]:
            raise BadInput(
                f"`keep` must name elements that would be quantised, found {first_few(idle)}; "
                f"in this graph {first_few(could)} are"
            )
        if set(could) == set(self.scheme.kept):
            raise BadInput(
                f"`keep` must leave something to quantise, found all of it kept; use `precision` {self.scheme.around}"
            )

    def write(self, artifact: Artifact, fell_back: Sequence[str] = ()) -> Artifact:
        """Quantise all but these units into the artifact's file. Return the artifact with a manifest that says so."""
        scheme = self.scheme.falling_back(fell_back)
        quantise(self.plain, self.ranges, scheme, artifact.model)
        said = {**(artifact.manifest.quantisation or {}), **scheme.to_json()}
        return replace(artifact, manifest=replace(artifact.manifest, quantisation=said, verification=None))
