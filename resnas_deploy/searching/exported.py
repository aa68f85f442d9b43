"""Writing finalists: slices of the supernet's weights as verified artifacts, and the accuracy of quantised ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import WEIGHTS, Artifact
from resnas_deploy.batch import USUAL
from resnas_deploy.data.labelled import Indices, LabelledImages
from resnas_deploy.engines.finding import Need
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.exporting.calibration import DEFAULT_IMAGES, Calibration
from resnas_deploy.exporting.export import check_verifiable, export
from resnas_deploy.exporting.quantise import check_quantiser
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.preprocessing import Preprocessing, preprocess
from resnas_deploy.measuring.latency.anchored import anchor_of
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.precision import QUANTISED
from resnas_deploy.progress import Progress, counted, silent
from resnas_deploy.runners.base import Images, Options, usable_cores
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import default_runner
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import CostKind
from resnas_deploy.searching.found import ANCHOR, FINALISTS, ExportedAccuracy, FoundAnchor, FoundFinalist
from resnas_deploy.weights.checkpoint import Checkpoint, untrained
from resnas_deploy.weights.slicing import slice_subnet

_BATCH = 16  # images at once, where accuracy is measured
_SEED = 0  # of which images calibrate


@dataclass(frozen=True)
class Exporter:
    """Exports finalists of one supernet into a search's folder."""

    supernet: Checkpoint
    setup: Setup  # that they will run in
    images: LabelledImages  # that candidates are scored on
    folder: Path
    costs: tuple[CostKind, ...]  # that the search keeps of its candidates

    def export(self, candidate: Candidate, number: int, progress: Progress = silent) -> FoundFinalist:
        """Write a candidate as the finalist of a number. Raise `VerificationFailed` where its graph is wrong."""
        checkpoint = slice_subnet(self.supernet, candidate.subnet)
        name = f"{FINALISTS}/finalist{number}"
        artifact = export(lambda: checkpoint, self._request(name), progress)
        accuracy = None
        if self._quantised:
            accuracy = accuracy_of(artifact, runner_here(self.setup), self.images, self._threads, progress)
        return FoundFinalist(
            artifact=name,
            digest=artifact.digest,
            weights=artifact.manifest.files[WEIGHTS],
            fingerprint=checkpoint.arch.fingerprint,
            subnet=candidate.subnet,
            score=candidate.score,
            iteration=candidate.iteration,
            costs=candidate.costs,
            highest=tuple(cost.most([checkpoint.arch]).item() for cost in self.costs),
            accuracy=accuracy,
        )

    def anchor(self, model: LatencyModel) -> FoundAnchor:
        """Write the network that the model's profile was measured beside, with weights that mean nothing."""
        weights = untrained(anchor_of(model.space))
        artifact = export(lambda: weights, replace(self._request(ANCHOR), verify_on=None), silent)
        return FoundAnchor(artifact.digest, artifact.manifest.files[WEIGHTS], model.regression.anchor_ms)

    def _request(self, name: str) -> Request:
        request = Request(
            name=Path(name).name,
            out=self.folder / name,
            precision=self.setup.precision,
            batch=USUAL.extended_to(self.setup.batch),
            force=True,
            verify_on=runner_here(self.setup),
            threads=self._threads,
        )
        if not self._quantised:
            return request
        return replace(
            request,
            for_engine=bool(self.setup.kind.engine) and self.setup.kind.runs_graph,
            calibration=self._calibration,
            max_drop=100.0,  # what is lost counts where the winner is chosen
            fallback_minutes=0,  # what fails is passed over, and is not the network that was predicted otherwise
        )

    @cached_property
    def _calibration(self) -> Calibration:
        return calibration_of(self.images, self.supernet.preprocessing)

    @property
    def _quantised(self) -> bool:
        return self.setup.precision in QUANTISED

    @property
    def _threads(self) -> int:
        """Return as many threads as are asked for, but no more than are here: the setup may be another machine's."""
        return min(self.setup.cores, usable_cores())


def runner_here(setup: Setup) -> RunnerKind:
    """Return what runs graphs of a setup on this machine: its runner, where it can, or the first that can."""
    kind = setup.kind
    if kind.runs_graph and kind.problem(setup.device) is None:
        return kind
    return default_runner(setup.precision, runs_graph=True)


def check_exportable(setup: Setup) -> None:
    """Raise `NotAvailable`, before any work, where finalists for a setup can be neither quantised nor verified here."""
    check_verifiable(runner_here(setup), setup.precision)
    if setup.precision in QUANTISED:
        check_quantiser()


def calibration_of(images: LabelledImages, preprocessing: Preprocessing) -> Calibration:
    """Return the images that a quantised graph learns its ranges from: of those that candidates are scored on."""
    there = len(images.labels)
    chosen = np.sort(np.random.default_rng(_SEED).permutation(there)[:DEFAULT_IMAGES])
    return Calibration("the search's images", _normalised(images, chosen, preprocessing))


def accuracy_of(
    artifact: Artifact, kind: RunnerKind, images: LabelledImages, threads: int, progress: Progress = silent
) -> ExportedAccuracy:
    """Run an artifact on all the images and count what it gets right."""
    total, correct = len(images.labels), 0
    batch = artifact.batch.nearest(_BATCH)
    with open_runner(kind, artifact, Options(threads), progress, Need((batch,))) as runner:
        for start in range(0, total, batch):
            progress(counted(f"accuracy in {artifact.precision}", start, total, "images"))
            rows = np.arange(start, min(start + batch, total))
            filled = np.resize(rows, batch)  # what fills the last batch up is not counted
            logits = runner.run(_normalised(images, filled, artifact.manifest.preprocessing))[OUTPUT]
            correct += int((logits[: len(rows)].argmax(1) == images.labels[rows]).sum())
        return ExportedAccuracy(correct, total, f"{runner.name} ({runner.version})")


def _normalised(images: LabelledImages, rows: Indices, preprocessing: Preprocessing) -> Images:
    return np.stack([preprocess(images.image(int(row)), preprocessing) for row in rows])
