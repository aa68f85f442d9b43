"""Proves an EPContext model or IR before it is kept: its logits where it runs against the graph's on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.images.samples import noise
from resnas_deploy.precision import relative_error, tolerance_of
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import Options, usable_cores
from resnas_deploy.runners.registry import graph_runner, runner_kind

_IMAGES = 4


@dataclass(frozen=True)
class Unproved:
    """An engine that is not kept yet, and its weights, where they are in a file of their own."""

    path: Path
    made_of: Mapping[str, Any]
    weights: Path | None = None
    digest: str = ""

    @property
    def file(self) -> Path:
        """The engine, which nobody has hashed yet."""
        return self.path


def prove(artifact: Artifact, engine: Unproved, options: BuildOptions, progress: Progress) -> dict[str, object]:
    """Run an engine at both ends of its batch range and return what was checked. Raise `VerificationFailed`."""
    progress("running the engine")
    kind, reference = runner_kind(str(engine.made_of["target"])), graph_runner(artifact.for_runner, artifact.precision)
    profile, error = options.profiles[0], 0.0
    images = noise(_IMAGES, artifact.image_size, input_named(artifact.input))
    asked = Options(usable_cores(), device=options.device, engine=engine, tf32=options.tf32)
    with kind.open(artifact, asked) as runner, reference.open(artifact, Options(usable_cores())) as wanted:
        for count in {profile.least, min(max(_IMAGES, profile.least), profile.most)}:
            batch = np.resize(images, (count, *images.shape[1:]))
            error = max(error, relative_error(runner.run(batch)[OUTPUT], wanted.run(batch)[OUTPUT]))
        tolerance = max(tolerance_of(artifact.precision), tolerance_of(runner.computes))
        against = f"{wanted.name} ({wanted.version})"
    if error > tolerance:
        raise VerificationFailed(
            f"the engine must compute what the graph computes, found an error of {error:.1e} "
            f"with a tolerance of {tolerance:.0e}",
            None,
        )
    return {"error": error, "tolerance": tolerance, "images": _IMAGES, "against": against}
