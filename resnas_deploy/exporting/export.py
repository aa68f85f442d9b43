"""Export: from weights to a verified artifact on disk, or to nothing at all."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from resnas_deploy.arch.alignment import check_alignment
from resnas_deploy.arch.inputs import FLOAT32, input_named
from resnas_deploy.artifact.artifact import MANIFEST, Artifact, open_artifact
from resnas_deploy.artifact.creating import check_replaceable, creating, seal, set_aside
from resnas_deploy.artifact.manifest import Manifest, Verification
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.data.class_match import check_renaming
from resnas_deploy.errors import BadInput, PackageMissing, VerificationFailed
from resnas_deploy.exporting.calibration import DEFAULT_IMAGES, Calibration, calibration
from resnas_deploy.exporting.quantise import (
    DEFAULT_DROP,
    Ranges,
    Scheme,
    activation_ranges,
    check_quantiser,
    quantise,
    scheme_for,
)
from resnas_deploy.files.atomic import write_errors
from resnas_deploy.files.workplace import scratch_errors, scratch_folder
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import FOR_RUNTIMES, FOR_TENSORRT, Spelling
from resnas_deploy.images.class_names import imagenet_class_names, read_class_names
from resnas_deploy.precision import QUANTISED, check_precision, kept_in_fp32, precision_named
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import RunnerKind, usable_cores
from resnas_deploy.version import __version__
from resnas_deploy.weights.checkpoint import Checkpoint, write


@dataclass(frozen=True)
class Request:
    """What to export. Raises `BadInput` for an unknown precision or alignment, and for what does not go together."""

    name: str  # of the architecture, for people
    out: Path
    precision: str = "fp32"
    batch: BatchRange = USUAL
    spelling: Spelling | None = None  # None: the one for engines, or for runtimes
    for_engine: bool = False  # whether an engine will be built of it, which wants another spelling and quantisation
    class_names: Path | None = None  # a file of names; without one, the checkpoint's, or ImageNet's 1000
    force: bool = False  # replace an artifact that is there
    keep_failed: bool = False  # where verification fails, keep the artifact under another name
    threads: int = 0  # of the CPU; 0: all cores
    # images, or an array of images, that a quantised graph learns its ranges from: a file or folder, or themselves
    calibration: Path | Calibration | None = None
    calibration_images: int = DEFAULT_IMAGES
    data: str = ""  # labelled images that a quantised graph's accuracy is measured on, as `verify` takes them
    max_drop: float = DEFAULT_DROP
    input: str = FLOAT32.name  # what the graph takes, of `INPUTS`
    align: int = 1  # widths are padded with zeros to multiples of this, one of `ALIGNMENTS`
    verify_on: RunnerKind | None = field(kw_only=True)  # None: an artifact that is marked as unverified

    def __post_init__(self) -> None:
        check_precision(self.precision)
        check_alignment(self.align)
        input_named(self.input)
        if self.precision not in QUANTISED:
            self._check_unquantised()
        elif self.data and not self.verify_on:
            raise BadInput("accuracy is compared when the graph is verified: leave `data` or `unverified` out")
        if self.keep_failed and not self.verify_on:
            raise BadInput("what is not verified cannot fail: ask for verification, or do not ask to keep what fails")

    def _check_unquantised(self) -> None:
        """Refuse what would be ignored."""
        given = {
            "`calibration`": self.calibration is not None,
            "`data`": bool(self.data),
            "`max_drop`": self.max_drop != DEFAULT_DROP,
        }
        if names := [name for name, is_given in given.items() if is_given]:
            raise BadInput(
                f"{' and '.join(names)} must come with {' or '.join(QUANTISED)}, found `precision` {self.precision}"
            )

    @property
    def written_in(self) -> Spelling:
        """The spelling that the graph is written in."""
        return self.spelling or (FOR_TENSORRT if self.for_engine else FOR_RUNTIMES)

    @property
    def scheme(self) -> Scheme | None:
        """How the graph is quantised, if it is."""
        return scheme_for(self.precision, self.for_engine) if self.precision in QUANTISED else None


def export(load_weights: Callable[[], Checkpoint], request: Request, progress: Progress) -> Artifact:
    """Emit, verify and write an artifact. Raise `VerificationFailed` and leave nothing where the graph is wrong.

    The weights are asked for once and let go before the graph is loaded to be verified, so that the two are never in
    memory together.
    """
    if request.verify_on:  # before any work is done
        check_verifiable(request.verify_on, request.precision)
    if request.scheme:
        check_quantiser()
        with scratch_errors():  # which says so where there is no folder for temporary files
            pass
    if request.keep_failed and request.out.name:
        check_replaceable(failed_name(request.out))
    with creating(request.out, force=request.force) as folder:
        progress("loading the weights")
        artifact = _write(load_weights(), request, folder, progress)
        if request.verify_on:
            from resnas_deploy.exporting.verify import verify  # imports torch

            try:
                threads = request.threads or usable_cores()
                found = verify(artifact, request.verify_on, threads, progress, request.data, request.max_drop)
                artifact = _with(artifact, found)
            except VerificationFailed as error:
                if request.keep_failed and isinstance(error.report, Verification):
                    seal(_with(artifact, error.report))
                    set_aside(folder, failed_name(request.out))
                raise
        progress("hashing the files")
        with write_errors(request.out):
            sealed = seal(artifact)
        progress("flushing to disk")
    return replace(sealed, folder=request.out)


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


def unchanged(load_weights: Callable[[], Checkpoint], request: Request, progress: Progress) -> Artifact | None:
    """Return the artifact that is at `request.out`, where exporting again would only write the same one; else None.

    Raise `BadInput` where an artifact is there that is not whole.
    """
    if request.force or not (request.out / MANIFEST).is_file():
        return None
    there = open_artifact(request.out)
    verification = there.manifest.verification
    if request.verify_on and (there.manifest.doubt or not (verification and _as_accurate(verification, request))):
        return None
    checkpoint = load_weights()
    wanted = _manifest(checkpoint, request, _calibration(checkpoint, request, progress))
    found = replace(there.manifest, files={}, verification=None, tools=wanted.tools)
    return there if found == wanted else None


def _as_accurate(verification: Verification, request: Request) -> bool:
    """Tell whether accuracy was measured on the data that the request names, if any, and is as high as it wants."""
    accuracy = verification.accuracy
    if accuracy is None:
        return not request.data
    return accuracy.drop <= request.max_drop and Path(request.data or accuracy.data).name == accuracy.data


def _calibration(checkpoint: Checkpoint, request: Request, progress: Progress) -> Calibration | None:
    """Return the images that a quantised graph is calibrated with."""
    if request.scheme is None:
        return None
    if isinstance(request.calibration, Calibration):
        if request.calibration.images.dtype != request.input:
            raise BadInput(
                f"`calibration` must hold images as the graph takes them, {request.input}, "
                f"found {request.calibration.images.dtype}"
            )
        return request.calibration
    progress("reading the calibration images")
    return calibration(
        request.calibration, request.calibration_images, checkpoint.preprocessing, input_named(request.input)
    )


def _manifest(checkpoint: Checkpoint, request: Request, images: Calibration | None) -> Manifest:
    scheme = request.scheme
    return Manifest(
        name=request.name,
        arch=checkpoint.arch,
        precision=request.precision,
        alignment=request.align,
        batch=request.batch,
        preprocessing=checkpoint.preprocessing,
        class_names=_class_names(request.class_names, checkpoint),
        provenance=checkpoint.provenance,
        weights_sha256=checkpoint.digest,
        spelling=request.written_in.describe(),
        kept_in_fp32=kept_in_fp32(scheme.around if scheme else request.precision, request.input),
        quantisation=scheme.to_json() | {"calibration": images.to_json()} if scheme and images else None,
        tools={"resnas": __version__, "onnx": version("onnx"), "numpy": version("numpy")},
        files={},
        verification=None,
        input=request.input,
    )


def _write(checkpoint: Checkpoint, request: Request, folder: Path, progress: Progress) -> Artifact:
    """Write graph and weights into a folder that nobody else reads yet."""
    images = _calibration(checkpoint, request, progress)
    artifact = Artifact(folder, _manifest(checkpoint, request, images))
    scheme = request.scheme
    if scheme and request.verify_on:
        from resnas_deploy.exporting.accuracy import labelled_data  # imports torch

        labelled_data(request.data, artifact.manifest, checkpoint.task)  # refused before the work, where it is wrong
    with write_errors(request.out):
        progress("emitting the graph")
        _emit(checkpoint, request, scheme.around if scheme else request.precision, artifact.model)
        if scheme and images:
            ranges = _ranges(checkpoint, request, scheme, artifact.model, images, progress)
            progress("quantising")
            quantise(artifact.model, ranges, scheme)
        progress("writing the weights")
        write(checkpoint, artifact.weights)
    return artifact


def _emit(checkpoint: Checkpoint, request: Request, precision: str, path: Path) -> None:
    graph = emit(
        checkpoint,
        precision_named(precision),
        request.batch,
        spelling=request.written_in,
        alignment=request.align,
        kind=input_named(request.input),
    )
    graph.write(path)


def _ranges(
    checkpoint: Checkpoint, request: Request, scheme: Scheme, model: Path, images: Calibration, progress: Progress
) -> Ranges:
    """Return the activations' ranges on the calibration images, of the emitted graph or of its twin in float32."""
    if scheme.around == "fp32":
        return activation_ranges(model, images.images, request.batch, progress)
    with scratch_folder("calibration") as folder:
        twin = folder / "fp32.onnx"
        _emit(checkpoint, request, "fp32", twin)
        return activation_ranges(twin, images.images, request.batch, progress)


def _class_names(path: Path | None, checkpoint: Checkpoint) -> tuple[str, ...] | None:
    classes, names = checkpoint.arch.classes, imagenet_class_names()
    if path:
        given = read_class_names(path, classes)
        check_renaming(checkpoint.task, given, path)
        return given
    if checkpoint.task:
        return checkpoint.task.class_names
    return names if classes == len(names) else None
