"""Predicting: the likeliest classes of image files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines.finding import Need, open_subject, runner_of
from resnas_deploy.engines.identity import smallest_batch
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import BadInput, VerificationFailed
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.listing import images_named
from resnas_deploy.images.preprocessing import prepare
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import Options, usable_cores
from resnas_deploy.runners.classify import Guess, classify
from resnas_deploy.runners.registry import default_runner, runner_kind
from resnas_deploy.runners.tf32 import check_rounds


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, the likeliest first."""

    image: Path
    top: tuple[Guess, ...]

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"image": str(self.image), "top": [guess.to_json() for guess in self.top]}


@dataclass(frozen=True)
class Predictions(Tabular):
    """What a network takes images for, and which of them could not be read."""

    label: str  # of the artifact
    trained: bool  # or the classes mean nothing
    runner: str
    images: tuple[Prediction, ...]
    errors: tuple[str, ...]  # one for each image that could not be read

    def to_json(self) -> dict[str, object]:
        """Return what `resnas predict --json` prints."""
        return {
            "label": self.label,
            "trained": self.trained,
            "runner": self.runner,
            "images": [image.to_json() for image in self.images],
            "errors": list(self.errors),
        }

    def table(self) -> Table:
        """Return a row for each class of each image."""
        rows = [
            (str(found.image) if rank == 0 else "", str(guess), f"{100 * guess.probability:.1f} %")
            for found in self.images
            for rank, guess in enumerate(found.top)
        ]
        return Table(f"{self.label} on {self.runner}", ("image", "class", "probability"), rows, text_columns=2)


@checked
def predict(
    artifact: str | Path | Artifact,
    images: str | Path | Sequence[str | Path],
    *,
    top: int = 5,
    runner: str = "",
    engine: str | Path = "",
    device: str = "",
    tf32: bool = False,
    threads: int = 0,
    progress: Progress = silent,
) -> Predictions:
    """Classify image files, and those in folders. What cannot be read is named in the result's `errors`.

    Args:
        artifact: a folder, an engine in one (engines/ID.engine, .pt2, .onnx, .xml), or an artifact that is open.
        images: files (JPEG, PNG, WebP, GIF, TIFF, BMP), or folders of them.
        top: classes of each image.
        runner: the runtime; the first that can run the precision where none is named, or that of the engine.
        engine: the engine of the artifact to run: the beginning of its ID, or its file; the runner's, which is found
            or built, where none is named.
        device: cpu, cuda or cuda:N; the runner's usual one where none is named.
        tf32: on a GPU, let float32 be rounded to TF32.
        threads: of the CPU; 0 takes every core.
        progress: told what is being done.

    Raise `BadInput` for an artifact that is not whole, `NotAvailable` where the runtime is missing, and
    `VerificationFailed` where a logit is not finite.
    """
    opened, file = open_subject(artifact, engine)
    manifest = opened.manifest
    kind = runner_of(file, runner) if file else None
    kind = kind or (runner_kind(runner, "`runner`") if runner else default_runner(manifest.precision, device=device))
    if tf32:
        kind.check_tf32(tf32, device)
        check_rounds(manifest.precision, manifest.type)
    batch = smallest_batch(file) if file else manifest.batch.least
    results, errors = list[Prediction](), list[str]()
    progress(f"loading {manifest.label} on {kind.name}")
    options = Options(threads or usable_cores(), device=device, tf32=tf32, engine=file)
    with open_runner(kind, opened, options, progress, Need((batch,))) as network:
        for path in _files([images] if isinstance(images, (str, Path)) else images, errors):
            progress(f"classifying {path}")
            try:
                image = prepare(load_image(path), manifest.preprocessing, manifest.input)
            except BadInput as error:
                errors.append(str(error))
                continue
            found = classify(network, image, batch, top, manifest.class_names)
            if found is None:
                raise VerificationFailed(
                    f"the logits of {path} must be finite, found NaN or infinity from {manifest.label} on "
                    f"{kind.name}; `verify()` {opened.folder} says where it comes from"
                )
            results.append(Prediction(path, found))
    return Predictions(manifest.label, manifest.provenance.trained, kind.name, tuple(results), tuple(errors))


def _files(given: Sequence[str | Path], errors: list[str]) -> Iterator[Path]:
    """Yield the images one by one; what is wrong with a folder is added to `errors` when its turn comes."""
    for path in given:
        try:
            yield from images_named(Path(path))
        except BadInput as error:
            errors.append(str(error))
