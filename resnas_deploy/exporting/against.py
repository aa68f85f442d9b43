"""Two networks on the same images, graph against graph: an artifact against a bare ONNX file, or any other two.

What an artifact's own verification cannot say, for it knows one graph: whether what another exporter made of the same
weights computes the same, and whether another network agrees at all. No PyTorch is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.manifest import Verification
from resnas_deploy.artifact.onnx_file import OnnxFile
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.finding import Need
from resnas_deploy.engines.identity import check_holds
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import BadInput, VerificationFailed
from resnas_deploy.exporting.verified_images import NOISE_IMAGES, Inputs, batches_to_run, rows_of, verification_inputs
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.precision import NOT_FINITE, QUANTISED, relative_error, tolerance_of
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import EngineFile, Network, Options
from resnas_deploy.runners.kind import RunnerKind


@dataclass(frozen=True)
class Side:
    """A network, and what runs it."""

    network: Network
    kind: RunnerKind
    engine: EngineFile | None = None


@dataclass(frozen=True)
class _Ran:
    logits: NDArray[np.float32]  # (batches, images, classes)
    runner: str
    computes: str


def compare_networks(found: Side, wanted: Side, threads: int, progress: Progress) -> Verification:
    """Run both on noise and on the package's real images, at each batch size that both take, and compare the logits.

    The largest error of all sizes counts, relative to the largest logit of `wanted`; the tolerance is that of the lower
    precision of the two. Raise `VerificationFailed` where it is larger, `BadInput` where the two cannot be compared.
    """
    batches = _batches(found, wanted)
    inputs = verification_inputs(_preprocessing(found.network, wanted.network), input_named(found.network.input))
    first, second = (_run(side, batches, inputs, threads, progress) for side in (found, wanted))
    if first.logits.shape != second.logits.shape:
        classes = [each.logits.shape[-1] for each in (first, second)]
        raise BadInput(
            f"both must have as many classes, found {classes[0]} of {found.network.source} and {classes[1]} of "
            f"{wanted.network.source}"
        )
    agreement = (first.logits.argmax(-1) == second.logits.argmax(-1)).all(0)
    difference = float(abs(first.logits - second.logits).max())
    compared = Verification(
        reference=f"{wanted.network.label}, {second.runner}",
        runner=first.runner,
        tolerance=max(
            tolerance_of(name)
            for side, ran in ((found, first), (wanted, second))
            for name in (side.network.precision, ran.computes)
        ),
        error=max(relative_error(*pair) for pair in zip(first.logits, second.logits, strict=True)),
        batches=batches,
        images=len(inputs.images),
        real_images=inputs.real,
        top1_agreement=int(agreement.sum()),
        real_agreement=int(agreement[NOISE_IMAGES:].sum()),
        difference=difference if np.isfinite(difference) else NOT_FINITE,
    )
    if not compared.passed:
        raise VerificationFailed(f"both must compute the same, found {compared}{_hint(found, wanted)}", compared)
    return compared


def _run(side: Side, batches: tuple[int, ...], inputs: Inputs, threads: int, progress: Progress) -> _Ran:
    network, count = side.network, len(inputs.images)
    progress(f"running {network.label} on {side.kind.name}")
    options = Options(threads, engine=side.engine)
    with open_runner(side.kind, network, options, progress, Need(batches)) as runner:
        found = [
            np.concatenate([runner.run(inputs.images[rows])[OUTPUT] for rows in rows_of(count, batch)])[:count]
            for batch in batches
        ]
        return _Ran(np.stack(found), f"{runner.name} ({runner.version})", runner.computes)


def _batches(first: Side, second: Side) -> tuple[int, ...]:
    """Return the sizes to run, of those that both take. Raise `BadInput` where the two cannot be compared."""
    one, other = first.network, second.network
    for what, of_both in (
        ("images of as many pixels", [f"{each.image_size}" for each in (one, other)]),
        ("the same kind of input", [each.input for each in (one, other)]),
    ):
        if of_both[0] != of_both[1]:
            raise BadInput(
                f"both must take {what}, found {of_both[0]} of {one.source} and {of_both[1]} of {other.source}"
            )
    least, most = max(one.batch.least, other.batch.least), min(one.batch.most, other.batch.most)
    if least > most:
        raise BadInput(
            f"both must take a batch size, found {one.batch} of {one.source} and {other.batch} of {other.source}; "
            "export one of them with a dynamic batch"
        )
    sizes = batches_to_run(BatchRange(least, most))
    for side in (first, second):
        if side.engine:
            check_holds(side.engine, sizes)
    return sizes


def _preprocessing(*networks: Network) -> Preprocessing:
    """Return an artifact's, where one of them is one; else that of ImageNet's usual evaluation."""
    known = (each.manifest.preprocessing for each in networks if isinstance(each, Artifact))
    return next(known, None) or Preprocessing.for_image_size(networks[0].image_size)


def _hint(*sides: Side) -> str:
    """Say what may be behind a difference, where the graphs tell."""
    files = [side.network for side in sides if isinstance(side.network, OnnxFile)]
    if ends := [each.source for each in files if each.facts.softmax]:
        return f"; {ends[0]} ends in a Softmax, so it gives probabilities: export it without"
    if any(side.network.precision in QUANTISED for side in sides):
        return "; int8 and fp8 of different calibration differ: compare accuracy instead"
    return "; are they of the same weights, and do both take images normalised in the same way?"
