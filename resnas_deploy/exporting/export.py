"""Export: from weights to a verified artifact on disk, or to nothing at all."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from resnas_deploy.arch.alignment import aligned_arch, check_alignment
from resnas_deploy.arch.inputs import FLOAT32, input_named
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.artifact import MANIFEST, MODEL, WEIGHTS, Artifact, open_artifact
from resnas_deploy.artifact.creating import check_replaceable, creating, seal, set_aside
from resnas_deploy.artifact.manifest import Manifest, Verification
from resnas_deploy.artifact.written_for import FOR_RUNNERS
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.data.class_match import check_renaming
from resnas_deploy.errors import BadInput, PackageMissing, VerificationFailed, shown
from resnas_deploy.exporting.calibration import DEFAULT_IMAGES, Calibration, calibration
from resnas_deploy.exporting.quantise import DEFAULT_DROP, DEFAULT_MINUTES, check_quantiser
from resnas_deploy.exporting.ranges import activation_ranges
from resnas_deploy.exporting.scheme import Scheme, fused_attention, scheme_for, units_named
from resnas_deploy.exporting.unquantised import Unquantised
from resnas_deploy.files.atomic import flushed, write_errors
from resnas_deploy.files.workplace import scratch_errors, scratch_folder
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import FOR_RUNTIMES, FOR_TENSORRT, GEMM, PACKED, SPELLINGS, Spelling
from resnas_deploy.images.class_names import imagenet_class_names, read_class_names
from resnas_deploy.precision import FP8, QUANTISED, check_precision, kept_in_fp32, precision_named
from resnas_deploy.processes.aside import Aside, imported_aside
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import RunnerKind, usable_cores
from resnas_deploy.version import __version__
from resnas_deploy.weights.checkpoint import Checkpoint, write

_FOR_A_RUNNER = ("fp32", "int8")  # the precisions of a graph that is written for one runner
_VERIFYING = "resnas_deploy.exporting.verify"  # the module, which imports torch


@dataclass(frozen=True)
class Request:
    """What to export. Raises `BadInput` for an unknown precision or alignment, and for what does not go together."""

    name: str  # of the architecture, for people
    out: Path
    precision: str = "fp32"
    batch: BatchRange = USUAL
    spelling: Spelling | None = None  # None: the one for engines, or for runtimes
    spelling_chosen: str = ""  # how and where, if it was measured
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
    keep: tuple[str, ...] = ()  # elements, or halves of blocks, that are not quantised
    # In engines: whether the products of attention are quantised where they stay one kernel; None: in fp8 they are.
    # Int8 has steps of 1/127 for the softmax's output, which of 257 tokens has a mean of 1/257.
    attention: bool | None = None
    # How long to look for elements that must not be quantised where the graph loses too much; 0: it then fails at once.
    fallback_minutes: float = DEFAULT_MINUTES
    input: str = FLOAT32.name  # what the graph takes, of `INPUTS`
    for_runner: str = ""  # the one runner that the graph is written for, of `FOR_RUNNERS`; empty: any may run it
    align: int = 1  # widths are padded with zeros to multiples of this, one of `ALIGNMENTS`
    verify_on: RunnerKind | None = field(kw_only=True)  # None: an artifact that is marked as unverified

    def __post_init__(self) -> None:
        check_precision(self.precision)
        check_alignment(self.align)
        input_named(self.input)
        self._check_runner()
        if self.quantised and self.written_in.linears == GEMM:
            raise BadInput(
                f"`spelling` must be without {GEMM} in {self.precision}, whose quantised products are MatMul, "
                f"found {self.written_in.name}; leave it out"
            )
        if self.precision not in QUANTISED:
            self._check_unquantised()
        elif self.attention is not None and not (self.for_engine and self.written_in.attention == PACKED):
            raise BadInput(
                "`attention` must come with a `target` of TensorRT and a `spelling` that is packed: other runtimes "
                "compute its products in float32; leave it out"
            )
        elif self.data and not self.verify_on:
            raise BadInput("accuracy is compared when the graph is verified: leave `data` or `unverified` out")
        if self.keep_failed and not self.verify_on:
            raise BadInput("what is not verified cannot fail: ask for verification, or do not ask to keep what fails")

    def _check_runner(self) -> None:
        """Refuse a runner that no graph is written for, and what that runner would not run."""
        if not self.for_runner:
            return
        if self.for_runner not in FOR_RUNNERS:
            raise BadInput(
                f"`for_runner` must be {' or '.join(FOR_RUNNERS)}, found {shown(self.for_runner)}; "
                "leave it out for a graph that any runner may run"
            )
        if self.precision not in _FOR_A_RUNNER:
            raise BadInput(
                f"`for_runner` {self.for_runner} must come with `precision` {' or '.join(_FOR_A_RUNNER)}, found "
                f"{self.precision}, of which nothing is known that it runs faster; leave it out"
            )
        if self.for_engine:
            raise BadInput(
                f"`for_runner` must come without a `target`, whose engines another runner runs, "
                f"found {self.for_runner}; leave one out"
            )
        if self.verify_on and self.verify_on.name != self.for_runner:
            raise BadInput(
                f"a graph for {self.for_runner} must be verified there, found `verify_on` {self.verify_on.name}; "
                "leave it out"
            )

    def _check_unquantised(self) -> None:
        """Refuse what would be ignored."""
        given = {
            "`calibration`": self.calibration is not None,
            "`data`": bool(self.data),
            "`max_drop`": self.max_drop != DEFAULT_DROP,
            "`attention`": self.attention is not None,
            "`keep`": bool(self.keep),
            "`fallback_minutes`": self.fallback_minutes != DEFAULT_MINUTES,
        }
        if names := [name for name, is_given in given.items() if is_given]:
            raise BadInput(
                f"{' and '.join(names)} must come with {' or '.join(QUANTISED)}, found `precision` {self.precision}"
            )

    @property
    def written_in(self) -> Spelling:
        """The spelling that the graph is written in: asked for, or what is fastest where it will be run."""
        return self.spelling or (FOR_TENSORRT if self.for_engine else FOR_RUNTIMES)

    @property
    def spellings(self) -> dict[str, Spelling]:
        """The spellings that the graph may be written in, by name, its own the first."""
        own = self.written_in
        others = {name: each for name, each in SPELLINGS.items() if each.linears != GEMM or not self.quantised}
        return {own.name: own} | others

    @property
    def quantised(self) -> bool:
        """Whether the graph is quantised."""
        return self.precision in QUANTISED

    def scheme(self, arch: ArchSpec) -> Scheme | None:
        """Return how the graph is quantised, if it is. Raise `BadInput` where an element to keep is none of it."""
        if not self.quantised:
            return None
        scheme = scheme_for(self.precision, self.for_engine, self.for_runner)
        usual = self.for_engine and self.precision == FP8 and self.written_in.attention == PACKED
        wanted = usual if self.attention is None else self.attention
        blocks = fused_attention(aligned_arch(arch, self.align), self.precision) if wanted else ()
        if self.attention and not blocks:
            raise BadInput(
                f"`attention` must be kept where no builder makes one kernel of it in {self.precision}, "
                "found quantised; leave it out"
            )
        return replace(scheme, attention=blocks, kept=units_named(self.keep, arch))


def export(load_weights: Callable[[], Checkpoint], request: Request, progress: Progress) -> Artifact:
    """Emit, verify and write an artifact. Raise `VerificationFailed` and leave nothing where the graph is wrong.

    The weights are asked for once and let go before the graph is loaded to be verified, so that the two are never in
    memory together. What verification imports, PyTorch above all, is imported while they are written.
    """
    if request.verify_on:  # before any work is done
        check_verifiable(request.verify_on, request.precision)
    if request.quantised:
        check_quantiser()
        with scratch_errors():  # which says so where there is no folder for temporary files
            pass
    if request.keep_failed and request.out.name:
        check_replaceable(failed_name(request.out))
    with creating(request.out, force=request.force) as folder, _scratch(request) as scratch:
        with _imported(request):
            progress("loading the weights")
            written = _write(load_weights(), request, folder, scratch, progress)
        artifact = written.artifact
        with flushed(folder / name for name in written.hashed) as flushing:
            if request.verify_on:
                try:
                    artifact = _verified(artifact, written.made_of, request, request.verify_on, progress)
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


def _imported(request: Request) -> AbstractContextManager[None]:
    """Have what verification imports imported beside the block."""
    if not request.verify_on:
        return nullcontext()
    return imported_aside("torch", _VERIFYING, *request.verify_on.imports)


def _verified(
    artifact: Artifact, made_of: Unquantised | None, request: Request, kind: RunnerKind, progress: Progress
) -> Artifact:
    """Return the artifact with its verification; of a quantised one with fewer elements quantised, if it must be."""
    from resnas_deploy.exporting.verify import verify  # imports torch

    threads = request.threads or usable_cores()

    def verification(of: Artifact, told: Progress) -> Verification:
        return verify(of, kind, threads, told, request.data, request.max_drop)

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
    fell_back = there.manifest.fell_back
    wanted = _manifest(checkpoint, request, _calibration(checkpoint, request, progress), fell_back)
    found = replace(there.manifest, files={}, verification=None, tools=wanted.tools)
    return there if found == wanted and (not fell_back or _as_strict(verification, request)) else None


def _as_strict(verification: Verification | None, request: Request) -> bool:
    """Tell whether elements would fall back in the same way: they did for the same drop."""
    same = not (verification and verification.accuracy) or verification.accuracy.max_drop == request.max_drop
    return same and request.verify_on is not None and request.fallback_minutes > 0


def _as_accurate(verification: Verification, request: Request) -> bool:
    """Tell whether accuracy was measured on the data that the request names, if any, and is as high as it wants."""
    accuracy = verification.accuracy
    if accuracy is None:
        return not request.data
    return accuracy.drop <= request.max_drop and Path(request.data or accuracy.data).name == accuracy.data


def _calibration(checkpoint: Checkpoint, request: Request, progress: Progress) -> Calibration | None:
    """Return the images that a quantised graph is calibrated with."""
    if not request.quantised:
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


def _manifest(
    checkpoint: Checkpoint,
    request: Request,
    images: Calibration | None,
    fell_back: Sequence[str] = (),
    digest: str | None = None,
) -> Manifest:
    """Return what the manifest says but for its files; the weights' digest is computed where it is not given."""
    scheme = request.scheme(checkpoint.arch)
    scheme = scheme.falling_back(fell_back) if scheme else None
    return Manifest(
        name=request.name,
        arch=checkpoint.arch,
        precision=request.precision,
        alignment=request.align,
        batch=request.batch,
        preprocessing=checkpoint.preprocessing,
        class_names=_class_names(request.class_names, checkpoint),
        provenance=checkpoint.provenance,
        weights_sha256=checkpoint.digest if digest is None else digest,
        spelling=request.written_in.describe(request.spelling_chosen),
        kept_in_fp32=kept_in_fp32(scheme.around if scheme else request.precision, request.input),
        quantisation=scheme.to_json() | {"calibration": images.to_json()} if scheme and images else None,
        tools={"resnas": __version__, "onnx": version("onnx"), "numpy": version("numpy")},
        files={},
        verification=None,
        input=request.input,
        for_runner=request.for_runner,
    )


@dataclass(frozen=True)
class _Written:
    """What is in the folder before it is verified."""

    artifact: Artifact
    made_of: Unquantised | None  # of a quantised graph, which may have to be made anew
    hashed: Mapping[str, str]  # names of files that are final, and their sha256


def _write(checkpoint: Checkpoint, request: Request, folder: Path, scratch: Path, progress: Progress) -> _Written:
    """Write graph and weights into a folder that nobody else reads yet. The three hashes are computed side by side."""
    images = _calibration(checkpoint, request, progress)
    artifact = Artifact(folder, _manifest(checkpoint, request, images, digest=""))
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
    return replace(made_of, ranges=activation_ranges(twin, images.images, request.batch, progress))


def _class_names(path: Path | None, checkpoint: Checkpoint) -> tuple[str, ...] | None:
    classes, names = checkpoint.arch.classes, imagenet_class_names()
    if path:
        given = read_class_names(path, classes)
        check_renaming(checkpoint.task, given, path)
        return given
    if checkpoint.task:
        return checkpoint.task.class_names
    return names if classes == len(names) else None
