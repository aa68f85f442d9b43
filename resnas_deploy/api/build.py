"""Building engines."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import Artifact, open_artifact
from resnas_deploy.engines.build import Built, build_engine, check_for_here
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
    tf32: bool = False,
    device: str = "",
    refittable: bool = False,
    strip_weights: bool = False,
    hardware_compatibility: str = "",
    sparse_weights: bool = False,
    level: int | None = None,
    progress: Progress = silent,
) -> Built:
    """Build an engine from an artifact, and keep it there with a report of its layers.

    The engine's name is the hash of all that it is made of and for; where that very engine is there, nothing is built.

    Args:
        artifact: a folder, or an artifact that is open.
        target: the builder: tensorrt-rtx, tensorrt, aoti or ort-tensorrt.
        profiles: batch sizes that the engine takes and is tuned for, each as "LEAST:USUAL:MOST" or one size, or
            several of these as "1,8,64": a profile for each; one of the artifact's range where none is given.
        optimum: the batch that the profile of the artifact's range is tuned for: what will be served. The largest,
            which a server forms under load, where none is given.
        capability: with tensorrt-rtx: GPUs to build for: compute capabilities such as "8.9,12.0" (of 7.5, 8.6, 8.9,
            12.0, 12.1), or portable, which is 8.6, 8.9 and 12.0 and meant where none is given. A tensorrt engine is
            for the GPU that is here.
        workspace: the most scratch memory, such as "4GiB" or a number of bytes; the builder's limit where none is
            given.
        version_compatible: whether it runs on later versions of the runtime too.
        timing_cache: with tensorrt: a file of timings to read and extend.
        tf32: whether float32 may be rounded to TF32 on a GPU; it is another engine then.
        device: with tensorrt and ort-tensorrt: the GPU to build on and for, cuda:N, usually cuda:0; with aoti: what
            the package runs on, cuda:N or cpu, which is usual.
        refittable: whether `refit()` can put the weights of another checkpoint of the architecture into it.
        strip_weights: whether it is kept without its weights, which `refit()` puts in.
        hardware_compatibility: with tensorrt: ampere+ for GPUs of 8.0 and above, same-capability for all of this one's
            compute capability; the GPU that is here where it is left out.
        sparse_weights: whether kernels for weights of which two in four are zero may be used; they must be.
        level: how long the builder looks for faster kernels, 0 to 5; its own, 3, where it is left out.
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
        tf32=tf32,
        device=device,
        refittable=refittable,
        strip_weights=strip_weights,
        hardware_compatibility=hardware_compatibility,
        sparse_weights=sparse_weights,
        level=level,
    )
    builder = target_named(target)
    if not capability:
        check_for_here(builder)
    opened = open_artifact(artifact)
    built = build_engine(opened, builder, options, progress)
    if doubt := opened.manifest.doubt:
        _log.info(
            f"the engine is made of an artifact that is marked {doubt}; check it with: `verify()` {opened.folder}"
        )
    return built
