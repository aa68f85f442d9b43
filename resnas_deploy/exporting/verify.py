"""Verification: the graph on a real runtime against the PyTorch module, and where the two part if they do.

The reference is the module in float32 with the weights as they were before folding. Errors are the largest difference
of a logit, relative to the reference's largest logit. A runtime may compute in more than the graph says, so a graph of
less than float32 is computed in its own type as well (`arithmetic`).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from resnas_deploy.arch.elements import OUTPUT, BlockElement, elements
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.graph import read_graph
from resnas_deploy.artifact.manifest import Verification
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.finding import SHORT, Need
from resnas_deploy.engines.identity import profiles_of
from resnas_deploy.engines.opening import open_runner, with_engine
from resnas_deploy.errors import BadInput, VerificationFailed
from resnas_deploy.exporting.accuracy import compare_accuracy, labelled_data
from resnas_deploy.exporting.arithmetic.check import element_errors, in_own_arithmetic, out_of_room
from resnas_deploy.exporting.arithmetic.runner import computing_in_own
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
from resnas_deploy.images.preprocessing import normalised
from resnas_deploy.network.module import build_model, intermediates
from resnas_deploy.precision import QUANTISED, precision_named, relative_error, tolerance_of
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import EngineFile, Images, Options, Outputs, Runner
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import default_runner
from resnas_deploy.runners.torch_settings import exact_on, torch_threads
from resnas_deploy.weights.checkpoint import Checkpoint
from resnas_deploy.weights.padding import aligned_output


@dataclass(frozen=True)
class Divergence:
    """The largest difference at one element's output, relative to the reference's largest value there."""

    element: str
    error: float

    def __str__(self) -> str:
        return f"the first element that differs is {self.element} (error {self.error:.1e})"


def reference_logits(checkpoint: Checkpoint, images: Images) -> NDArray[np.float32]:
    """Return the PyTorch module's logits in float32, `(B, classes)`. Levels are normalised for it."""
    with torch.inference_mode():
        taken = torch.from_numpy(normalised(images, checkpoint.preprocessing))
        logits: NDArray[np.float32] = build_model(checkpoint)(taken).numpy()
    return logits


def verify(
    artifact: Artifact,
    kind: RunnerKind,
    threads: int,
    progress: Progress,
    data: str = "",
    max_drop: float = DEFAULT_DROP,
    engine: EngineFile | None = None,
) -> Verification:
    """Compare the artifact's graph, or an engine of it, with the module of its weights, at several batch sizes.

    A quantised graph is also compared on labelled images: of `data`, a folder or demo, or of the built-in ones for a
    network of their classes; its top-1 may be `max_drop` percentage points lower. Raise `VerificationFailed`, which
    names the first element whose output differs, where an output is not finite, the error exceeds the precision's
    tolerance, or top-1 drops by more than it may; and where that holds in the graph's own type, or an element of it
    comes too near to that type's largest number.
    """
    kind.check_written_for(artifact)  # before the reference is computed
    quantised = artifact.precision in QUANTISED
    if (data or max_drop != DEFAULT_DROP) and not quantised:
        raise BadInput(
            f"accuracy is compared for {' and '.join(QUANTISED)}, found {artifact.precision}, whose logits are; "
            "leave `data` and `max_drop` out (`train.evaluate()` has the accuracy of a checkpoint)"
        )
    checkpoint = artifact.checkpoint()
    labelled = None
    if quantised:  # before the work, where the data is wrong
        labelled = labelled_data(data, artifact.manifest, checkpoint.task)
    inputs = verification_inputs(artifact.manifest.preprocessing, input_named(artifact.input))
    with torch_threads(threads), exact_on():
        progress("computing the reference on torch")
        reference = reference_logits(checkpoint, inputs.images)
        del checkpoint  # which is not in memory together with the graph
        progress(f"running the graph on {kind.name}")
        found = compare_with_reference(artifact, kind, inputs, reference, threads, progress, engine)
        if artifact.precision != "fp32":
            progress(f"computing the graph in {artifact.manifest.type} arithmetic")
            own = in_own_arithmetic(artifact, inputs.images, reference)
            found = replace(found, own=own)
            if own.beyond:  # whatever else is wrong follows from it
                raise VerificationFailed(out_of_room(own), found)
        if quantised:
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
    own = found.own
    if found.error > found.tolerance:
        progress("looking for the element where the two part")
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


def compare_with_reference(
    artifact: Artifact,
    kind: RunnerKind,
    inputs: Inputs,
    reference: NDArray[np.float32],
    threads: int,
    progress: Progress = silent,
    engine: EngineFile | None = None,
) -> Verification:
    """Run the graph on the inputs and compare with reference logits: the largest error and least agreement count.

    At the largest batch size of a range all images are run, at the others a few (`images_at`).
    """
    batches, count = batches_to_verify(artifact.manifest.batch, engine), len(inputs.images)
    largest = {most_to_run(each) for each in _ranges(artifact.manifest.batch, engine)}
    error, agreement = 0.0, np.ones(count, bool)
    with ExitStack() as stack:
        options = with_engine(kind, artifact, Options(threads, engine=engine), progress, Need(batches))
        runner = stack.enter_context(kind.open(artifact, options))
        for batch in batches:
            chosen = images_at(batch, largest, count)
            parts = [runner.run(inputs.images[chosen[rows]])[OUTPUT] for rows in rows_of(len(chosen), batch)]
            logits = reference.copy()  # of the images that are not run
            logits[chosen] = np.concatenate(parts)[: len(chosen)]
            error = max(error, relative_error(logits, reference))
            agreement &= logits.argmax(1) == reference.argmax(1)
        return Verification(
            reference=f"torch {torch.__version__} fp32",
            runner=_described(runner, options.engine) + _narrowed(artifact.precision, runner.computes),
            tolerance=max(tolerance_of(artifact.precision), tolerance_of(runner.computes)),
            error=error,
            batches=batches,
            images=count,
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


def divergences(artifact: Artifact, kind: RunnerKind, images: Images, threads: int) -> list[Divergence]:
    """Return the error at every element's output, in the order of computation: where the graph and the module part."""
    batch = artifact.manifest.batch
    images = images[rows_of(len(images), batch.nearest(len(images)))[0]]
    wanted = _wanted(artifact, images)
    probed = with_probes(read_graph(artifact), list(wanted))
    with open_runner(kind, artifact, Options(threads, probed.SerializeToString())) as runner:
        found: Outputs = runner.run(images)
    return [Divergence(name, relative_error(found[probe(name)], output)) for name, output in wanted.items()]


def own_divergences(artifact: Artifact, images: Images) -> list[Divergence]:
    """Return the same of the graph in its own arithmetic."""
    found = element_errors(artifact, images, _wanted(artifact, images), "head")
    return [Divergence(name, error) for name, error in found.items()]


def _wanted(artifact: Artifact, images: Images) -> dict[str, NDArray[np.float32]]:
    """Return what the module says that the graph must have at every element's output.

    An aligned graph has the module's outputs in its leading channels and their mean in the others.
    """
    manifest = artifact.manifest
    with torch.inference_mode():
        model = build_model(artifact.checkpoint())
        taken = torch.from_numpy(normalised(images, manifest.preprocessing))
        wanted = {name: output.numpy() for name, output in intermediates(model, taken).items()}
    last = next(e.name for e in elements(manifest.arch) if isinstance(e, BlockElement) and e.last)
    wanted[last] = wanted[last][:, :1]  # all that the graph computes there
    return wanted | {
        name: aligned_output(output, manifest.alignment) for name, output in wanted.items() if probe(name) != OUTPUT
    }


def first_beyond(found: list[Divergence], tolerance: float) -> Divergence:
    """Return the first element whose error exceeds the tolerance, or the worst where none does."""
    beyond = (item for item in found if item.error > tolerance)
    return next(beyond, max(found, key=lambda item: item.error))


def probe(element: str) -> str:
    """Return the name of the graph's output that has an element's output."""
    return OUTPUT if element == "head" else f"{element}.probe"


def with_probes(model: ModelProto, names: list[str]) -> ModelProto:
    """Return the model with the outputs of these elements as further outputs, in float32."""
    for name in names:
        if probe(name) != OUTPUT:
            model.graph.node.append(helper.make_node("Cast", [name], [probe(name)], to=TensorProto.FLOAT))
            model.graph.output.append(helper.make_tensor_value_info(probe(name), TensorProto.FLOAT, None))
    return model
