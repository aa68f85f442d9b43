"""Evaluating: how good a network is on labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.onnx_file import OnnxFile
from resnas_deploy.data.source import open_validation
from resnas_deploy.errors import BadInput
from resnas_deploy.evaluating.evaluate import evaluate as evaluate_subject
from resnas_deploy.evaluating.listing import write_csv
from resnas_deploy.evaluating.page import page
from resnas_deploy.evaluating.result import Evaluation, EvaluationDocument
from resnas_deploy.evaluating.subject import AnySubject, Subject, open_evaluated
from resnas_deploy.evaluating.tables import class_table, confusion_table, difference_text, summary_table
from resnas_deploy.files.outputs import write_text
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import Options, usable_cores
from resnas_deploy.weights.checkpoint import Checkpoint

_SHOWN = 10  # classes and pairs in the tables of the terminal


@dataclass(frozen=True)
class Evaluated(Tabular):
    """How good a network is. `found` has all of it, typed; `found.answers` what was answered to each image."""

    found: Evaluation

    @property
    def document(self) -> EvaluationDocument:
        """The figures."""
        return self.found.document

    @property
    def top1(self) -> float:
        """The share of the images whose likeliest class is theirs, from 0 to 1."""
        return self.document.figures.top1.share

    @property
    def top5(self) -> float:
        """The share of the images whose class is among the five likeliest, from 0 to 1."""
        return self.document.figures.top5.share

    @property
    def unreadable(self) -> tuple[str, ...]:
        """What is wrong with the images that could not be read, which count nowhere."""
        return self.document.unreadable

    def __str__(self) -> str:
        figures = self.document.figures
        return f"top-1 {figures.top1}, top-5 {figures.top5} of {self.document.images:,} images"

    def to_json(self) -> dict[str, object]:
        """Return what `resnas evaluate --json` prints."""
        return self.document.to_json()

    def table(self) -> Table:
        """Return shares, cross-entropy and calibration, a column for each network."""
        return summary_table(self.document)

    def worst_classes(self, count: int = _SHOWN) -> Table:
        """Return the classes of the least recall."""
        rows = self.document.per_class[:count]
        return class_table(rows, f"The {len(rows)} classes of least recall")

    def confusions(self, count: int = _SHOWN) -> Table:
        """Return which classes are most often taken for which others."""
        return confusion_table(self.document.confusions[:count], "Most often taken for each other")

    def difference(self) -> str:
        """Return a sentence about the network that it was compared with; empty where there is none."""
        return difference_text(self.document)

    @checked
    def save_page(self, path: str | Path, *, force: bool = False) -> None:
        """Write a page of HTML, one file that needs no other: figures, calibration, classes, and the mistakes drawn.

        Raise `BadInput` where a file is there that `force` does not replace.
        """
        write_text(Path(path), page(self.found).html(), replace=force)

    @checked
    def save_csv(self, path: str | Path, *, force: bool = False) -> None:
        """Write a line for each image: its class, the answer, its rank and the probabilities.

        Raise `BadInput` where a file is there that `force` does not replace.
        """
        write_csv(self.found, Path(path), replace=force)


@checked
def evaluate(
    artifact: str | Path | Artifact | OnnxFile | Checkpoint,
    data: str | Path,
    *,
    labels: str | Path | None = None,
    against: str | Path | Artifact | OnnxFile | Checkpoint = "",
    class_names: str | Path | None = None,
    preprocessing: str | Path | None = None,
    batch: int = 16,
    runner: str = "",
    engine: str | Path = "",
    device: str = "",
    tf32: bool = False,
    threads: int = 0,
    progress: Progress = silent,
) -> Evaluated:
    """Measure how good a network is on labelled images: top-1, top-5, cross-entropy, classes, calibration.

    Args:
        artifact: a folder, an engine in one, a bare ONNX file, or a checkpoint (.safetensors); or one that is open.
        data: demo, the small data set that is built in; a folder of class folders, of WebDataset shards, or of images
            with a list of their classes; one with train/ and val/, of which val/ is taken; or the file of a list with
            its images beside it.
        labels: a list that lies elsewhere than the images: LOC_val_solution.csv, lines NAME,CLASS or PATH CLASS, or a
            class a line, in the order of the images' names.
        against: another network, which is run on the same images and compared.
        class_names: a text file, a class a line, for a network that does not know their names.
        preprocessing: of bare ONNX files, a JSON file that says how images are prepared, as a manifest has it, or a
            manifest; as ImageNet's are where none is given.
        batch: images at once, or the nearest that the network takes.
        runner: the runtime; the first that can run the precision where none is named, or that of the engine.
        engine: the engine of the artifact to run: the beginning of its ID, or its file.
        device: cpu, cuda or cuda:N; the runner's usual one where none is named.
        tf32: on a GPU, let float32 be rounded to TF32.
        threads: of the CPU; 0 takes every core.
        progress: told what is being done, and how long it still takes.

    Images that cannot be read are named in the result's `unreadable`, and count nowhere. Raise `BadInput` for data of
    other classes, `NotAvailable` where the runtime is missing, and `VerificationFailed` where a logit is not finite.
    """
    progress("looking for the images")
    opened = open_validation(str(data), Path(labels) if labels else None)
    names, prepared = (Path(each) if each else None for each in (class_names, preprocessing))

    def open_one(network: AnySubject, engine: str | Path) -> Subject:
        return open_evaluated(
            network,
            str(data),
            runner=runner,
            engine=engine,
            device=device,
            class_names=names,
            preprocessing=prepared,
            tf32=tf32,
        )

    subject = open_one(artifact, engine)
    other = open_one(against, "") if against else None
    if prepared and not any(each and isinstance(each.network, OnnxFile) for each in (subject, other)):
        raise BadInput(
            f"`preprocessing` must be for a bare ONNX file, found {subject.network.source}, which says its own; "
            "leave it out"
        )
    options = Options(threads or usable_cores(), device=device, tf32=tf32)
    return Evaluated(evaluate_subject(subject, str(data), opened, batch, options, other, progress))
