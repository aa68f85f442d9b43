"""Building engines."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import Artifact, open_artifact
from resnas_deploy.engines.build import Built, build_engine
from resnas_deploy.engines.options import BatchProfile, BuildOptions, parse_bytes
from resnas_deploy.engines.targets import parse_capabilities, target_named
from resnas_deploy.progress import Progress, silent

_log = logging.getLogger(__name__)


@checked
def build(
    artifact: str | Path | Artifact,
    *,
    target: str = "tensorrt-rtx",
    profiles: Sequence[str | int] = (),
    optimum: int | None = None,
    capability: str = "",
    workspace: str | int = "",
    version_compatible: bool = False,
    timing_cache: str | Path | None = None,
    device: str = "",
    progress: Progress = silent,
) -> Built:
    """Build an engine from an artifact, and keep it there with a report of its layers.

    The engine's name is the hash of all that it is made of and for; where that very engine is there, nothing is built.

    Args:
        artifact: a folder, or an artifact that is open.
        target: the builder: tensorrt-rtx, tensorrt or aoti.
        profiles: batch sizes that the engine takes and is tuned for, each as "LEAST:USUAL:MOST" or one size, or
            several of these as "1,8,64": a profile for each; one of the artifact's range where none is given.
        optimum: the batch that the profile of the artifact's range is tuned for: what will be served. The largest,
            which a server forms under load, where none is given.
        capability: GPUs to build for: compute capabilities such as "8.9,12.0", or portable; where none is given
            portable, or with tensorrt the GPU that is here.
        workspace: the most scratch memory, such as "4GiB" or a number of bytes; the builder's limit where none is
            given.
        version_compatible: whether it runs on later versions of the runtime too.
        timing_cache: with tensorrt: a file of timings to read and extend.
        device: what an aoti package runs on: cpu, which is usual, or cuda:N.
        progress: told what is being done.

    Raise `BadInput` for what cannot be built, `NotAvailable` where the builder or its GPU is missing, and
    `VerificationFailed` where a layer fell back to a higher precision; then no engine is kept.
    """
    options = BuildOptions(
        profiles=tuple(found for text in profiles for found in BatchProfile.parse_all(str(text))),
        optimum=optimum,
        capabilities=parse_capabilities(capability) if capability else (),
        workspace=parse_bytes(str(workspace)) if workspace != "" else None,
        version_compatible=version_compatible,
        timing_cache=Path(timing_cache) if timing_cache else None,
        device=device,
    )
    opened = open_artifact(artifact)
    built = build_engine(opened, target_named(target), options, progress)
    if doubt := opened.manifest.doubt:
        _log.info(
            f"the engine is made of an artifact that is marked {doubt}; check it with: `verify()` {opened.folder}"
        )
    return built
