"""A training run: what it is made of, from what a user asks for, checked before any work is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.data.class_match import check_classes, classes_of
from resnas_deploy.data.labelled import LabelledImages, split
from resnas_deploy.data.source import DEMO, DataSet, open_data, preprocessing_for
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import check_new_folder
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.training.recipe import FINETUNED, RECIPES, Recipe, read_recipe
from resnas_deploy.training.records.tracking import check_trackers
from resnas_deploy.weights.checkpoint import Checkpoint, load
from resnas_deploy.weights.resize import resize
from resnas_deploy.weights.space_files import packaged_spaces, space_key

STATE, CHECKPOINT, RECIPE = "state.safetensors", "checkpoint.safetensors", "recipe.toml"  # in the run's folder


@dataclass(frozen=True)
class TrainingOptions:
    """What every kind of training is told, whatever it trains."""

    out: Path
    data: str
    recipe: str | Path | Recipe = ""  # "": the usual one
    settings: Sequence[str] | Mapping[str, object] = ()  # keys of the recipe with other values
    seed: int = 0
    resume: bool = False
    workers: int | None = None  # processes that decode images; 0: this one does; None: by the cores at hand
    save_every: int = 0  # steps; 0: at the end of each epoch alone
    skip_unreadable: bool = False
    track: Sequence[str] = ()  # trackers beside metrics.jsonl
    profile_input: bool = False  # measure how fast images come, and train nothing

    def __post_init__(self) -> None:
        check_trackers(self.track)


@dataclass(frozen=True)
class TrainingRun:
    """What to train, on what, and where to."""

    arch: ArchSpec  # the network, or the supernet
    space: SearchSpace | None  # of the supernet
    recipe: Recipe
    data: str  # the name of the data
    train: LabelledImages
    val: LabelledImages
    preprocessing: Preprocessing
    seed: int
    folder: Path
    start: Checkpoint | None = None  # the weights to start from
    workers: int = 0  # processes that decode images; 0: this one does
    skip_unreadable: bool = False
    save_every: int = 0  # steps; 0: at the end of each epoch alone
    held_out: LabelledImages | None = None  # images of the training split that training leaves out, if any
    track: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """All that the weights depend on, as text."""
        what = {
            "arch": self.arch.fingerprint,
            "space": space_key(self.space) if self.space else None,
            "recipe": self.recipe.identity,
            "data": [self.data, len(self.train.labels), list(self.train.class_names)],
            "seed": self.seed,
            "start": self.start.digest if self.start else None,
        }
        return json.dumps(what, sort_keys=True)

    @property
    def what(self) -> str:
        """What is trained, in words."""
        return f"supernet of the space {self.space.name}" if self.space else f"network {self.arch.fingerprint}"


def supernet_run(space: SearchSpace, options: TrainingOptions, start: Checkpoint | None = None) -> TrainingRun:
    """Return a run that trains the supernet of a space, for the classes of the data, from `start` on where it is given.

    Raise `BadInput`.
    """
    recipe = _recipe("supernet", options, space.name if space.name in RECIPES else "small")
    data = open_data(options.data)
    if start:
        check_classes(classes_of(start.arch.classes, start.task), data.train.class_names, "the supernet")
    space = replace(space, classes=len(data.train.class_names), image_size=recipe.image_size or space.image_size)
    return _run(space.widest().full, space, recipe, data, options, start)


def scratch_run(arch: ArchSpec, options: TrainingOptions) -> TrainingRun:
    """Return a run that trains a network from random weights, for the classes of the data. Raise `BadInput`."""
    recipe = _recipe("subnet", options, usual_recipe(arch))
    data = open_data(options.data)
    arch = replace(arch, classes=len(data.train.class_names), image_size=recipe.image_size or arch.image_size)
    return _run(arch, None, recipe, data, options, None)


def weights_run(checkpoint: Checkpoint | Path, kind: str, options: TrainingOptions) -> TrainingRun:
    """Return a run that trains weights on, as a `subnet` or to `finetune` them, at the recipe's image size.

    Raise `BadInput`.
    """
    weights, name = loaded(checkpoint)
    recipe = _recipe(kind, options, usual_recipe(weights.arch) if kind == "subnet" else FINETUNED)
    data = open_data(options.data)
    check_classes(classes_of(weights.arch.classes, weights.task), data.train.class_names, name)
    try:
        weights = resize(weights, recipe.image_size or weights.arch.image_size)
    except BadInput as error:
        raise BadInput(f"{error}; the recipe says so: set its image_size, or give another `recipe`") from None
    return _run(weights.arch, None, recipe, data, options, weights)


def loaded(checkpoint: Checkpoint | Path) -> tuple[Checkpoint, str]:
    """Return a checkpoint, read where it is a file, and what messages call it. Raise `BadInput`."""
    return (load(checkpoint), str(checkpoint)) if isinstance(checkpoint, Path) else (checkpoint, "the checkpoint")


def usual_recipe(arch: ArchSpec) -> str:
    """Return the recipe that a network is trained by where none is named: its own, that of its space, else small."""
    for name, published in PUBLISHED.items():
        if published.arch.stages == arch.stages:
            return name
    for name in ("small", "tiny"):
        space = packaged_spaces()[name]
        if space.holds(replace(arch, classes=space.classes, image_size=space.image_size)):
            return name
    return "small"


def _recipe(kind: str, options: TrainingOptions, usual: str) -> Recipe:
    source = options.recipe or (DEMO if options.data == DEMO else usual)
    recipe = source if isinstance(source, Recipe) else read_recipe(source, kind)
    return recipe.override(options.settings)


def _run(
    arch: ArchSpec,
    space: SearchSpace | None,
    recipe: Recipe,
    data: DataSet,
    options: TrainingOptions,
    weights: Checkpoint | None,
) -> TrainingRun:
    out = options.out
    remedy = "give `resume` to go on with it" if (out / RECIPE).exists() else "choose another `out`"
    if not options.profile_input:  # which writes nothing there
        check_new_folder(out, resume=options.resume, remedy=remedy)
    train, held_out = split(data.train, recipe.held_out)
    preprocessing = weights.task.preprocessing if weights and weights.task else None
    return TrainingRun(
        arch=arch,
        space=space,
        recipe=recipe,
        data=data.name,
        train=train,
        val=data.val,
        preprocessing=preprocessing or preprocessing_for(options.data, arch.image_size),
        seed=options.seed,
        folder=out,
        start=weights,
        skip_unreadable=options.skip_unreadable,
        save_every=options.save_every,
        held_out=held_out if recipe.held_out else None,
        track=tuple(options.track),
    )
