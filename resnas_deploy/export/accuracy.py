"""Top-1 on labelled pictures: of a graph on a runtime, and of the PyTorch module that it was made from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from resnas_deploy.artifact import OUTPUT, Artifact
from resnas_deploy.data.demo import CLASS_NAMES
from resnas_deploy.data.pictures import Pictures
from resnas_deploy.data.source import DEMO, Data, open_data
from resnas_deploy.errors import BadInput
from resnas_deploy.manifest import Accuracy, Manifest
from resnas_deploy.preprocessing import preprocess
from resnas_deploy.runners.base import Options, RunnerKind

MOST_PICTURES = 2000  # of a larger validation split a sample, drawn with a seed
_SEED, _BATCH = 0, 16


def labelled_data(source: str, manifest: Manifest) -> Data | None:
    """The data set that `source` names, or the built-in one for a network of its classes; else None.

    Raises `BadInput` where the data has another number of classes than the network.
    """
    if not source:
        return open_data(DEMO) if manifest.class_names == CLASS_NAMES else None
    data, classes = open_data(source), manifest.arch.classes
    if len(data.val.class_names) != classes:
        raise BadInput(
            f"--data must have the network's {classes} classes, found {len(data.val.class_names)} in {data.name}"
        )
    return data


def compare_accuracy(
    artifact: Artifact, kind: RunnerKind, data: Data, max_drop: float, threads: int, report: Callable[[str], None]
) -> Accuracy:
    """Run graph and module on the validation split and count what each gets right."""
    pictures = data.val
    indices = np.arange(len(pictures.labels))
    if len(indices) > MOST_PICTURES:
        indices = np.sort(np.random.default_rng(_SEED).permutation(indices)[:MOST_PICTURES])
    torch.set_num_threads(threads)
    module = artifact.module()
    right = np.zeros(2, int)
    # A batch that the range takes, whatever the range is; the last one is filled up, and what fills it is not counted.
    batch = max(artifact.batch.least, min(artifact.batch.most, _BATCH))
    with kind.open(artifact, Options(threads)) as runner:
        for start in range(0, len(indices), batch):
            report(f"accuracy: {start}/{len(indices)} pictures")
            rows = indices[start : start + batch]
            images = _images(pictures, np.resize(rows, batch), artifact)
            with torch.inference_mode():
                wanted = module(torch.from_numpy(images)).numpy()
            found = runner.run(images)[OUTPUT]
            for number, logits in enumerate((wanted, found)):
                right[number] += int((logits[: len(rows)].argmax(1) == pictures.labels[rows]).sum())
    reference, top1 = (100 * count / len(indices) for count in right.tolist())
    return Accuracy(data.name, len(indices), reference, top1, max_drop)


def _images(pictures: Pictures, rows: NDArray[np.int64], artifact: Artifact) -> NDArray[np.float32]:
    preprocessing = artifact.manifest.preprocessing
    return np.stack([preprocess(pictures.picture(int(index)), preprocessing) for index in rows])
