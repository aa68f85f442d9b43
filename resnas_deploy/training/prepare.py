"""From what a user asks for to a run: recipe, data and first weights, checked before any work is done."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.data.chance import FAR_BELOW, note_chance
from resnas_deploy.data.class_match import check_classes, classes_of
from resnas_deploy.data.labelled import split
from resnas_deploy.data.source import DEMO, Data, open_data
from resnas_deploy.files.outputs import check_new_folder
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.network.module import build_model
from resnas_deploy.training.data.loader import evaluation_batches
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.evaluate import Accuracy, evaluate
from resnas_deploy.training.recipe import Recipe, read_recipe
from resnas_deploy.training.settings import RECIPE, Run
from resnas_deploy.weights.checkpoint import Checkpoint, load
from resnas_deploy.weights.resize import resize


@dataclass(frozen=True)
class Wanted:
    """A run as it is asked for on the command line."""

    out: Path
    recipe: str  # "": the usual one
    settings: Sequence[str]
    data: str
    seed: int
    resume: bool
    workers: int
    save_every: int
    skip_unreadable: bool


def supernet_run(space: SearchSpace, wanted: Wanted) -> Run:
    """Training a supernet of a space, for the classes of the data. Raises `BadInput`."""
    recipe = _recipe("supernet", wanted, space.name)
    data = open_data(wanted.data)
    space = replace(space, classes=len(data.train.class_names), image_size=recipe.image_size or space.image_size)
    return _run(space.widest().full, space, recipe, data, wanted, None)


def scratch_run(arch: ArchSpec, wanted: Wanted) -> Run:
    """Training a network from random weights, for the classes of the data. Raises `BadInput`."""
    recipe = _recipe("subnet", wanted)
    data = open_data(wanted.data)
    arch = replace(arch, classes=len(data.train.class_names), image_size=recipe.image_size or arch.image_size)
    return _run(arch, None, recipe, data, wanted, None)


def weights_run(path: Path, kind: str, wanted: Wanted) -> Run:
    """Training a checkpoint on, as a `subnet` or to `finetune` it, at the recipe's image size. Raises `BadInput`."""
    recipe = _recipe(kind, wanted)
    weights, data = load(path), open_data(wanted.data)
    check_classes(classes_of(weights.arch.classes, weights.task), data.train.class_names, str(path))
    weights = resize(weights, recipe.image_size or weights.arch.image_size)
    return _run(weights.arch, None, recipe, data, wanted, weights)


def preprocessing_for(data: str, image_size: int) -> Preprocessing:
    """How pictures are evaluated: as ImageNet's, but for the demo's, which fill their frame."""
    usual = Preprocessing.for_image_size(image_size)
    return replace(usual, resize=image_size) if data == DEMO else usual


def _recipe(kind: str, wanted: Wanted, usual: str = "small") -> Recipe:
    source = wanted.recipe or (DEMO if wanted.data == DEMO else usual)
    return read_recipe(source, kind).override(wanted.settings)


def _run(
    arch: ArchSpec,
    space: SearchSpace | None,
    recipe: Recipe,
    data: Data,
    wanted: Wanted,
    weights: Checkpoint | None,
) -> Run:
    remedy = "give `resume` to go on with it" if (wanted.out / RECIPE).exists() else "choose another `out`"
    check_new_folder(wanted.out, resume=wanted.resume, remedy=remedy)
    train, _ = split(data.train, recipe.held_out)
    preprocessing = weights.task.preprocessing if weights and weights.task else None
    return Run(
        arch=arch,
        space=space,
        recipe=recipe,
        data=data.name,
        train=train,
        val=data.val,
        preprocessing=preprocessing or preprocessing_for(wanted.data, arch.image_size),
        seed=wanted.seed,
        folder=wanted.out,
        start=weights,
        workers=wanted.workers,
        skip_unreadable=wanted.skip_unreadable,
        save_every=wanted.save_every,
    )


def accuracy_of(path: Path, data: str, batch: int, workers: int, processes: Processes) -> Accuracy:
    """How good a checkpoint is on the validation split. Raises `BadInput`."""
    weights, opened = load(path), open_data(data)
    check_classes(classes_of(weights.arch.classes, weights.task), opened.val.class_names, str(path))
    preprocessing = weights.task.preprocessing if weights.task else preprocessing_for(data, weights.arch.image_size)
    model = build_model(weights).to(processes.device)
    found = evaluate(
        model, evaluation_batches(opened.val, preprocessing, batch, share=processes.share, workers=workers), processes
    )
    labels, names = opened.val.labels, opened.val.class_names
    said = weights.accuracy
    if said and found.pictures and found.top1 < FAR_BELOW * said.top1:
        logging.getLogger(__name__).warning(
            "this accuracy is far below the %.2f %% that the checkpoint says of itself, on %s; see whether the "
            "pictures lie in the right classes",
            *(100 * said.top1, said.data),
        )
    note_chance(round(found.top1 * found.pictures), found.pictures, labels, names, "this accuracy")
    return found
