"""Top-1 on labelled images: of a graph on a runtime, and of the PyTorch module that it was made from."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.manifest import Accuracy, Manifest
from resnas_deploy.data.accuracy import FAR_BELOW, beats_chance, chance_of, check_telling, exchanged
from resnas_deploy.data.class_match import check_classes, classes_of
from resnas_deploy.data.demo import CLASS_NAMES
from resnas_deploy.data.labelled import Indices, LabelledImages
from resnas_deploy.data.source import DEMO, DataSet, open_data
from resnas_deploy.engines.finding import Need
from resnas_deploy.engines.identity import nearest_batch
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import normalised
from resnas_deploy.images.stream import prepared
from resnas_deploy.network.module import build_model
from resnas_deploy.progress import Progress, counted
from resnas_deploy.runners.base import EngineFile, Options
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.weights.checkpoint import Checkpoint, MeasuredAccuracy, Task

MOST_IMAGES = 2000  # of a larger validation split a sample, drawn with a seed
_SEED, _BATCH = 0, 16


def labelled_data(source: str, manifest: Manifest, task: Task | None) -> DataSet | None:
    """Return the data set that `source` names, or the built-in one for a trained network of its classes; else None.

    `task` is the checkpoint's. Raise `BadInput` where the data has other classes than the network, or in another
    order, where the network is untrained, and where the images are too few to tell its accuracy from chance.
    """
    if not source:
        return open_data(DEMO) if manifest.provenance.trained and manifest.class_names == CLASS_NAMES else None
    if not manifest.provenance.trained:
        raise BadInput(
            "`data` must come with trained weights, found untrained ones, whose accuracy is chance: "
            "leave `data` out, or give the `checkpoint` of a network that was trained"
        )
    data = open_data(source)
    check_classes(classes_of(manifest.arch.classes, task, manifest.class_names), data.val.class_names, "the network")
    check_telling(data.val.labels[_sample(data.val)], data.val.class_names, f"the validation split of {data.name}")
    return data


def compare_accuracy(
    artifact: Artifact,
    kind: RunnerKind,
    data: DataSet,
    max_drop: float,
    threads: int,
    progress: Progress,
    engine: EngineFile | None = None,
) -> Accuracy:
    """Run graph and module on the validation split and count what each gets right.

    The result says so where its figures show nothing: where one of the two is no better than chance, or the module far
    below what its checkpoint says of itself.
    """
    checkpoint = artifact.checkpoint()
    answers = _answers(artifact, kind, checkpoint, data.val, threads, progress, engine)
    labels = data.val.labels[answers.indices]
    reference, top1 = (100 * float((found == labels).mean()) for found in (answers.module, answers.graph))
    found = Accuracy(data.name, len(labels), reference, top1, max_drop)
    return replace(found, problem=_problem(found, answers, labels, data.val, checkpoint.accuracy))


@dataclass(frozen=True)
class _Answers:
    """The classes that each side answered, of the images with these numbers."""

    indices: Indices
    module: Indices
    graph: Indices


def _answers(
    artifact: Artifact,
    kind: RunnerKind,
    checkpoint: Checkpoint,
    labelled: LabelledImages,
    threads: int,
    progress: Progress,
    engine: EngineFile | None,
) -> _Answers:
    indices = _sample(labelled)
    module = build_model(checkpoint)
    answers = np.zeros((2, len(indices)), np.int64)
    # A batch that the range takes, whatever the range is; the last one is filled up, and what fills it is not counted.
    batch = nearest_batch(engine, _BATCH) if engine else artifact.batch.nearest(_BATCH)
    rows = [np.resize(indices[start : start + batch], batch) for start in range(0, len(indices), batch)]
    preprocessing = artifact.manifest.preprocessing
    with (
        closing(
            prepared(np.concatenate(rows).tolist(), labelled.image, preprocessing, artifact.input, threads=threads)
        ) as made,
        open_runner(kind, artifact, Options(threads, engine=engine), progress, Need((batch,))) as runner,
    ):
        for start in range(0, len(indices), batch):
            progress(counted("accuracy", start, len(indices), "images"))
            images = np.stack(list(islice(made, batch)))
            with torch.inference_mode():
                wanted = module(torch.from_numpy(normalised(images, preprocessing))).numpy()
            found = runner.run(images)[OUTPUT]
            for number, logits in enumerate((wanted, found)):
                answers[number, start : start + batch] = logits[: len(indices) - start].argmax(1)
    return _Answers(indices, answers[0], answers[1])


def _sample(labelled: LabelledImages) -> Indices:
    """Return which images are looked at: all, or as many as `MOST_IMAGES`, the same ones every time."""
    indices = np.arange(len(labelled.labels))
    if len(indices) > MOST_IMAGES:
        indices = np.sort(np.random.default_rng(_SEED).permutation(indices)[:MOST_IMAGES])
    return indices


def _problem(
    found: Accuracy, answers: _Answers, labels: Indices, labelled: LabelledImages, said: MeasuredAccuracy | None
) -> str:
    """Return why the figures show nothing, and what to do; empty where they do."""
    names, chance = labelled.class_names, chance_of(labels)
    usual = f"always answering {names[chance.number]!r} gets {100 * chance.share:.2f} % right"
    if not beats_chance(labels, answers.module == labels):
        if found.reference > 100 * chance.share:
            return f"the module cannot be told from chance, since {usual}; give more images, above all of other classes"
        return (
            f"the module itself is at chance, since {usual}; train the network, or give the data that it was trained "
            "for"
        )
    if said and found.reference < 100 * FAR_BELOW * said.top1:
        return (
            f"the checkpoint says {100 * said.top1:.2f} % of itself, on {said.images} images of {said.data}, and "
            "the module is far below; see whether the images lie in the right classes, or give data like that"
        )
    if ring := exchanged(labels, answers.module, len(names)):
        return (
            f"the images of {names[ring[0]]!r} are mostly taken for {names[ring[1]]!r} and so on around to it, as "
            "where classes are in another order; name the classes with `class_names`, or put them in order"
        )
    if found.drop <= found.max_drop and not beats_chance(labels, answers.graph == labels):
        return f"the graph is at chance, since {usual}; quantise with other `calibration` images"
    return ""
