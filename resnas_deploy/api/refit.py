"""Putting other weights into an engine."""

from __future__ import annotations

from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.inputs import FLOAT32
from resnas_deploy.engines.build import Built
from resnas_deploy.engines.finding import open_source
from resnas_deploy.engines.refit import check_refittable, refit_engine
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.export import export as write_artifact
from resnas_deploy.exporting.request import Request
from resnas_deploy.exporting.source import read_source
from resnas_deploy.graph.spelling import spelling_named
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.registry import graph_runner


@checked
def refit(
    engine: str | Path,
    *,
    checkpoint: str | Path,
    out: str | Path | None = None,
    device: str = "",
    force: bool = False,
    progress: Progress = silent,
) -> Built:
    """Put the weights of a checkpoint of the same architecture into an engine, without a build.

    The engine must have been built with `refittable`; one with `strip_weights` alone takes the weights of its build.
    The checkpoint becomes an artifact of its own, verified, with a graph that differs from the engine's in weights
    alone, and the engine goes there. Its kernels, and the proof of their precision, are those of the one before.

    Args:
        engine: an engine, in its artifact.
        checkpoint: weights of the same architecture, as a .safetensors file.
        out: the artifact to write; that of the engine with -refit after its name where none is given.
        device: the GPU to do it on, cuda:N; cuda:0 where none is given.
        force: replace an artifact that is there.
        progress: told what is being done.

    Raise `BadInput` for what does not fit, `NotAvailable` without the GPU, `VerificationFailed` where the new graph
    does not compute what the module does.
    """
    built_of, found = open_source(Path(engine))
    if found is None:
        raise BadInput(f"`engine` must be an engine in its artifact, engines/ID.engine, found {engine}")
    check_refittable(found, device)
    manifest = built_of.manifest
    weights = read_source(manifest.arch, checkpoint).load()
    if manifest.input != FLOAT32.name and weights.preprocessing != manifest.preprocessing:
        raise BadInput(
            f"{checkpoint} must prepare images as the engine's network does, whose graph normalises them itself, found "
            "another preprocessing; export it and build its engine: `export()`, `build()`"
        )
    request = Request(
        name=manifest.name,
        out=Path(out or built_of.folder.with_name(f"{built_of.folder.name}-refit")),
        precision=manifest.precision,
        batch=manifest.batch,
        spelling=spelling_named(manifest.spelling["name"]),
        for_engine=True,
        force=force,
        input=manifest.input,
        align=manifest.alignment,
        verify_on=graph_runner("", manifest.precision),
    )
    artifact = write_artifact(lambda: weights, request, progress)
    refitted, there = refit_engine(found, built_of, artifact, device, progress)
    return Built(refitted, cached=there)
