"""Export: from weights to a verified artifact on disk, or to nothing at all."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.arch.memory import peak_activation_bytes
from resnas_deploy.artifact.artifact import MODEL, WEIGHTS, Artifact
from resnas_deploy.artifact.creating import check_replaceable, creating, seal, set_aside
from resnas_deploy.artifact.manifest import Verification
from resnas_deploy.errors import BadInput, PackageMissing, VerificationFailed
from resnas_deploy.exporting.calibration import Calibration
from resnas_deploy.exporting.described import calibration_of, manifest_of
from resnas_deploy.exporting.quantise import check_quantiser
from resnas_deploy.exporting.ranges import activation_ranges
from resnas_deploy.exporting.reference_process import ReferenceProcess, started
from resnas_deploy.exporting.request import Request
from resnas_deploy.exporting.scheme import Scheme
from resnas_deploy.exporting.unquantised import Unquantised
from resnas_deploy.files.atomic import flushed, write_errors
from resnas_deploy.files.workplace import scratch_errors, scratch_folder
from resnas_deploy.graph.emit import emit
from resnas_deploy.precision import precision_named
from resnas_deploy.processes.aside import Aside, imported_aside
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import Images, usable_cores
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.weights.checkpoint import Checkpoint, write

_VERIFYING = "resnas_deploy.exporting.verify"


def export(load_weights: Callable[[], Checkpoint], request: Request, progress: Progress) -> Artifact:
    """Emit, verify and write an artifact. Raise `VerificationFailed` and leave nothing where the graph is wrong.

    The weights are asked for once and let go before the graph is loaded to be verified, so that the two are never in
    memory together. What verification imports, PyTorch above all, is imported while they are written, that of a float32
    graph in another process.
    """
    if request.verify_on:  # before any work is done
        check_verifiable(request.verify_on, request.precision)
    if request.quantised:
        check_quantiser()
        with scratch_errors():  # which says so where there is no folder for temporary files
            pass
    if request.keep_failed and request.out.name:
        check_replaceable(failed_name(request.out))
    with (
        creating(request.out, force=request.force) as folder,
        _scratch(request) as scratch,
        _reference(request) as reference,
    ):
        with _imported(request, reference):
            progress("loading the weights")
            written = _write(load_weights(), request, folder, scratch, progress)
        artifact = written.artifact
        with flushed(folder / name for name in written.hashed) as flushing:
            if request.verify_on:
                try:
                    artifact = _verified(artifact, written.made_of, request, request.verify_on, reference, progress)
                except VerificationFailed as error:
                    if request.keep_failed and isinstance(error.report, Verification):
                        seal(_with(artifact, error.report), written.hashed)
                        set_aside(folder, failed_name(request.out))
                    raise
            progress("hashing the files")
            with write_errors(request.out):
                sealed = seal(artifact, written.hashed)
            progress("flushing to disk")
            with write_errors(request.out):
                flushing.result()
    return replace(sealed, folder=request.out)


def _scratch(request: Request) -> AbstractContextManager[Path]:
    """Return a folder for what a quantised graph is made of; of other graphs, the one that nothing is written to."""
    return scratch_folder("quantisation") if request.quantised else nullcontext(request.out)


def _reference(request: Request) -> AbstractContextManager[ReferenceProcess | None]:
    """Have a process that computes the reference, where nothing else of verification needs PyTorch."""
    return started() if request.verify_on and request.precision == "fp32" else nullcontext()


def _imported(request: Request, reference: ReferenceProcess | None) -> AbstractContextManager[None]:
    """Have what verification imports imported beside the block."""
    if not request.verify_on:
        return nullcontext()
    first = () if reference else ("torch",)
    return imported_aside(*first, _VERIFYING, *request.verify_on.imports)


def _verified(
    artifact: Artifact,
    made_of: Unquantised | None,
    request: Request,
    kind: RunnerKind,
    reference: ReferenceProcess | None,
    progress: Progress,
) -> Artifact:
    """Return the artifact with its verification; of a quantised one with fewer elements quantised, if it must be."""
    from resnas_deploy.exporting.verify import verify

    threads = request.threads or usable_cores()

    def elsewhere(images: Images) -> NDArray[np.float32] | None:
        return reference.logits(artifact.weights, images, threads) if reference else None

    def verification(of: Artifact, told: Progress) -> Verification:
        return verify(
            of, kind, threads, told, request.data, request.max_drop, elsewhere=elsewhere if reference else None
        )

    try:
        return _with(artifact, verification(artifact, progress))
    except VerificationFailed as error:
        if made_of is None:
            raise
        from resnas_deploy.exporting.fallback import FallingBack

        search = FallingBack(made_of, verification, kind, threads, request.fallback_minutes, progress)
        return search.find(artifact, error)


def failed_name(out: Path) -> Path:
    """Return where `keep_failed` keeps an artifact whose graph is wrong."""
    return out.with_name(f"{out.name}.failed")


def check_verifiable(kind: RunnerKind, precision: str, *, engine: bool = False) -> None:
    """Raise `NotAvailable` or `BadInput` where a graph of that precision cannot be verified on that runner here.

    With `engine` one of its engines is verified, which may be a package of the weights: that is compiled, too.
    """
    if not kind.runs_graph and not engine:  # it would compare the module with itself
        raise BadInput(
            f"a graph must be verified on a runner that runs it, found {kind.name}, which runs the weights; "
            "use another runner (`available_runners()` lists them)"
        )
    if importlib.util.find_spec("torch") is None:
        raise PackageMissing(
            "verification compares the graph with the PyTorch module, and the package torch is not installed "
            "(`export()` with `unverified` does without, and says so in the manifest)",
            "pip install torch",
        )
    kind.check(precision)


def _with(artifact: Artifact, verification: Verification) -> Artifact:
    return replace(artifact, manifest=replace(artifact.manifest, verification=verification))


@dataclass(frozen=True)
class _Written:
    """What is in the folder before it is verified."""

    artifact: Artifact
    made_of: Unquantised | None  # of a quantised graph, which may have to be made anew
    hashed: Mapping[str, str]  # names of files that are final, and their sha256


def _write(checkpoint: Checkpoint, request: Request, folder: Path, scratch: Path, progress: Progress) -> _Written:
    """Write graph and weights into a folder that nobody else reads yet. The three hashes are computed side by side."""
    images = calibration_of(checkpoint, request, progress)
    artifact = Artifact(folder, manifest_of(checkpoint, request, images, digest=""))
    scheme, made_of = request.scheme(checkpoint.arch), None
    if scheme and request.verify_on:
        from resnas_deploy.exporting.accuracy import labelled_data  # imports torch

        labelled_data(request.data, artifact.manifest, checkpoint.task)  # refused before the work, where it is wrong
    hashed: dict[str, str] = {}
    with (
        write_errors(request.out),
        Aside(lambda: write(checkpoint, artifact.weights)) as weights,
        Aside(lambda: checkpoint.digest) as digest,
    ):
        progress("emitting the graph")
        if scheme and images:
            made_of = _unquantised(checkpoint, request, scheme, scratch, images, progress)
            progress("quantising")
            artifact = made_of.write(artifact)
        else:
            hashed[MODEL] = _emit(checkpoint, request, request.precision, artifact.model)
        progress("writing the weights")
        hashed[WEIGHTS] = weights.result()
        manifest = replace(artifact.manifest, weights_sha256=digest.result())
    return _Written(replace(artifact, manifest=manifest), made_of, hashed)


def _emit(checkpoint: Checkpoint, request: Request, precision: str, path: Path) -> str:
    """Write the graph. Return the file's sha256."""
    graph = emit(
        checkpoint,
        precision_named(precision),
        request.batch,
        spelling=request.written_in,
        alignment=request.align,
        kind=input_named(request.input),
    )
    return graph.write(path)


def _unquantised(
    checkpoint: Checkpoint,
    request: Request,
    scheme: Scheme,
    scratch: Path,
    images: Calibration,
    progress: Progress,
) -> Unquantised:
    """Emit the graph that is to be quantised, and its twin in float32, and learn the ranges of its activations."""
    plain, twin = scratch / "plain.onnx", scratch / "fp32.onnx"
    with scratch_errors():
        _emit(checkpoint, request, "fp32", twin)
        if scheme.around == "fp32":
            plain = twin
        else:
            _emit(checkpoint, request, scheme.around, plain)
    made_of = Unquantised(plain, twin, {}, scheme)
    made_of.check()
    ranges = activation_ranges(
        twin, images.images, request.batch, progress, scheme.written_out, peak_activation_bytes(checkpoint.arch)
    )
    return replace(made_of, ranges=ranges)
