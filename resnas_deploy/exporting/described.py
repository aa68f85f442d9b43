"""What an export is of: the manifest that will say it, and the images that a quantised graph is calibrated with."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.manifest import Manifest
from resnas_deploy.data.class_match import check_renaming
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.calibration import Calibration, calibration
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.class_names import imagenet_class_names, read_class_names
from resnas_deploy.precision import kept_in_fp32
from resnas_deploy.progress import Progress
from resnas_deploy.version import __version__
from resnas_deploy.weights.checkpoint import Checkpoint


def calibration_of(checkpoint: Checkpoint, request: Request, progress: Progress) -> Calibration | None:
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


def manifest_of(
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


def _class_names(path: Path | None, checkpoint: Checkpoint) -> tuple[str, ...] | None:
    classes, names = checkpoint.arch.classes, imagenet_class_names()
    if path:
        given = read_class_names(path, classes)
        check_renaming(checkpoint.task, given, path)
        return given
    if checkpoint.task:
        return checkpoint.task.class_names
    return names if classes == len(names) else None
