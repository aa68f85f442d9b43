"""Verification: the graph on a real runtime against the PyTorch module, and where the two part if they do.

The reference is the module in float32 with the weights as they were before folding. Errors are the largest difference
of a logit, relative to the reference's largest logit. A runtime may compute in more than the graph says, so a graph of
less than float32 is computed in its own type as well (`arithmetic`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.manifest import Verification
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.finding import SHORT, Need
from resnas_deploy.engines.identity import profiles_of
from resnas_deploy.engines.opening import with_engine
from resnas_deploy.errors import BadInput, VerificationFailed
from resnas_deploy.exporting.quantise import DEFAULT_DROP
from resnas_deploy.exporting.verified_images import (
    NOISE_IMAGES,
    Inputs,
    batches_to_run,
    images_at,
    most_to_run,
    rows_of,
    verification_inputs,
)
from resnas_deploy.precision import QUANTISED, precision_named, relative_error, tolerance_of
from resnas_deploy.processes.aside import imported_aside
from resnas_deploy.processes.unused_memory import give_back_memory
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import EngineFile, Images, Options, Runner
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import default_runner

References = Callable[[Images], NDArray[np.float32] | None]  # images to the module's logits, where they can be had


def verify(
    artifact: Artifact,
    kind: RunnerKind,
    threads: int,
    progress: Progress,
    data: str = "",
    max_drop: float = DEFAULT_DROP,
    engine: EngineFile | None = None,
    elsewhere: References | None = None,
) -> Verification:
    """Compare the artifact's graph, or an engine of it, with the module of its weights, at several batch sizes.

    A quantised graph is also compared on labelled images: of `data`, a folder or demo, or of the built-in ones for a
    network of their classes; its top-1 may be `max_drop` percentage points lower. Raise `VerificationFailed`, which
    names the first element whose output differs, where an output is not finite, the error exceeds the precision's
    tolerance, or top-1 drops by more than it may; and where that holds in the graph's own type, or an element of it
    comes too near to that type's largest number.

    `elsewhere` gives the module's logits where they are computed in another process. A float32 graph that is right is
    then compared without PyTorch in this one.
    """
    kind.check_written_for(artifact)  # before the reference is computed
    quantised = artifact.precision in QUANTISED
    if (data or max_drop != DEFAULT_DROP) and not quantised:
        raise BadInput(
            f"accuracy is compared for {' and '.join(QUANTISED)}, found {artifact.precision}, whose logits are; "
            "leave `data` and `max_drop` out (`evaluate()` has the accuracy of a checkpoint)"
        )
    labelled = None
    if quantised:
        from resnas_deploy.exporting.accuracy import compare_accuracy, labelled_data  # imports torch

        task = artifact.checkpoint().task
        labelled = labelled_data(data, artifact.manifest, task)  # before the work, where the data is wrong
    inputs = verification_inputs(artifact.manifest.preprocessing, input_named(artifact.input))
    progress(f"running the graph on {kind.name}")
    with nullcontext() if elsewhere else imported_aside("torch", "resnas_deploy.exporting.reference"):
        ran = run_graph(artifact, kind, inputs, threads, progress, engine)
    progress("computing the reference on torch")
    reference = elsewhere(inputs.images) if elsewhere and artifact.precision == "fp32" else None
    with ExitStack() as settings:
        if reference is None:
            from resnas_deploy.exporting.reference import on_torch, reference_logits  # imports torch

            settings.enter_context(on_torch(threads))
            reference = reference_logits(artifact.checkpoint(), inputs.images)
        found = compared(artifact, ran, inputs, reference)
        if artifact.precision != "fp32":
            from resnas_deploy.exporting.arithmetic.check import in_own_arithmetic, out_of_room  # imports torch

            progress(f"computing the graph in {artifact.manifest.type} arithmetic")
            own = in_own_arithmetic(artifact, inputs.images, reference)
            found = replace(found, own=own)
            if own.beyond:  # whatever else is wrong follows from it
                raise VerificationFailed(out_of_room(own), found)
        if quantised:
            from resnas_deploy.exporting.arithmetic.runner import computing_in_own
            from resnas_deploy.exporting.divergence import divergences

            progress("looking at the error of each element")
            looked_at = _probed_on(kind, artifact.precision)
            errors = {item.element: item.error for item in divergences(artifact, looked_at, inputs.images, threads)}
            accuracy = None
            if labelled:
                counted_on = computing_in_own(artifact, kind)
                accuracy = compare_accuracy(artifact, counted_on, labelled, max_drop, threads, progress, engine)
            found = replace(found, accuracy=accuracy, element_errors=errors)
        if not found.passed:
            raise VerificationFailed(_difference(artifact, kind, threads, inputs.images, found, progress), found)
    return found


def _difference(
    artifact: Artifact, kind: RunnerKind, threads: int, images: Images, found: Verification, progress: Progress
) -> str:
    """Return what must hold of a graph that failed, and where it does not."""
    from resnas_deploy.exporting.divergence import divergences, first_beyond, own_divergences  # imports torch
    from resnas_deploy.exporting.reference import on_torch

    own = found.own
    if found.error > found.tolerance:
        progress("looking for the element where the two part")
        with on_torch(threads):
            errors = divergences(artifact, _probed_on(kind, artifact.precision), images, threads)
        if kind.engine and errors[-1].error <= found.tolerance:
            return (
                f"the engine must compute what the module computes, found {found}; the graph itself does, so it is "
                "the engine that differs: build it again, or with another builder"
            )
        parting = first_beyond(errors, found.tolerance)
        return f"the graph must compute what the module computes, found {found}; {parting}"
    if found.accuracy and found.accuracy.problem:
        return f"accuracy must be above chance to be compared, found {found.accuracy}"
    if own and own.error > own.tolerance:
        progress("looking for the element where the two part")
        parting = first_beyond(own_divergences(artifact, images), own.tolerance)
        return (
            f"the graph must compute in {own.type} arithmetic what the module computes, found {found}; {parting}; "
            f"export with `precision` {precision_named(own.type).wider}"
        )
    return (
        f"the graph must be as accurate as the module, found {found}; quantise with other `calibration` images, "
        "use another `precision`, or allow more with `max_drop`"
    )


def _probed_on(kind: RunnerKind, precision: str) -> RunnerKind:
    """Return what the graph is run on with more outputs than its own: an engine has none, so another runner then."""
    return default_runner(precision, runs_graph=True) if kind.engine else kind


@dataclass(frozen=True)
class Ran:
    """What a graph gave: of each batch size the numbers of the images that were run, and their logits."""

    logits: Mapping[int, tuple[NDArray[np.int64], NDArray[np.float32]]]
    runner: str  # what ran it, and its version
    computes: str


def run_graph(
    artifact: Artifact,
    kind: RunnerKind,
    inputs: Inputs,
    threads: int,
    progress: Progress = silent,
    engine: EngineFile | None = None,
) -> Ran:
    """Run the graph on the inputs: at the largest batch size of a range on all, at the others on a few (`images_at`).

    It is closed again, and its memory is the system's: it is not there together with the module.
    """
    batches, count = batches_to_verify(artifact.manifest.batch, engine), len(inputs.images)
    largest = {most_to_run(each) for each in _ranges(artifact.manifest.batch, engine)}
    options = with_engine(kind, artifact, Options(threads, engine=engine), progress, Need(batches))
    logits = {}
    with kind.open(artifact, options) as runner:
        for batch in batches:
            chosen = images_at(batch, largest, count)
            parts = [runner.run(inputs.images[chosen[rows]])[OUTPUT] for rows in rows_of(len(chosen), batch)]
            logits[batch] = chosen, np.concatenate(parts)[: len(chosen)]
        described = _described(runner, options.engine) + _narrowed(artifact.precision, runner.computes)
        computes = runner.computes
    del runner
    give_back_memory()
    return Ran(logits, described, computes)


def compared(artifact: Artifact, ran: Ran, inputs: Inputs, reference: NDArray[np.float32]) -> Verification:
    """Compare what the graph gave with reference logits: the largest error and the least agreement count."""
    error, agreement = 0.0, np.ones(len(reference), bool)
    for chosen, found in ran.logits.values():
        logits = reference.copy()  # of the images that are not run
        logits[chosen] = found
        error = max(error, relative_error(logits, reference))
        agreement &= logits.argmax(1) == reference.argmax(1)
    return Verification(
        reference=f"torch {version('torch')} fp32",
        runner=ran.runner,
        tolerance=max(tolerance_of(artifact.precision), tolerance_of(ran.computes)),
        error=error,
        batches=tuple(ran.logits),
        images=len(reference),
        real_images=inputs.real,
        top1_agreement=int(agreement.sum()),
        real_agreement=int(agreement[NOISE_IMAGES:].sum()),
    )


def _described(runner: Runner, engine: EngineFile | None) -> str:
    built = f", engine {engine.path.stem[:SHORT]}" if engine else ""
    return f"{runner.name} ({runner.version}{built})"


def _narrowed(precision: str, computes: str) -> str:
    """Say that the runner computes in less than the graph's precision, whose tolerance then holds."""
    return f", computing in {computes}" if tolerance_of(computes) > tolerance_of(precision) else ""


def batches_to_verify(batch: BatchRange, engine: EngineFile | None = None) -> tuple[int, ...]:
    """Return the batch sizes of the range that are run; of an engine, those of the range of each of its profiles."""
    return tuple(sorted({size for each in _ranges(batch, engine) for size in batches_to_run(each)}))


def _ranges(batch: BatchRange, engine: EngineFile | None) -> list[BatchRange]:
    """Return the artifact's range, or those of an engine's profiles, each of which has kernels of its own."""
    profiles = profiles_of(engine.made_of) if engine else ()
    return [BatchRange(profile.least, profile.most) for profile in profiles] or [batch]
