"""Weights to start from that are of another task: what goes together is trained on, the rest is one line."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from support.checks import refusal
from support.small_data import SIDE, SPACE, Stripes, alone, run, write_folder

from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.training.loop import train
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.run import TrainingOptions, weights_run
from resnas_deploy.weights.checkpoint import Checkpoint, Task, untrained

RECIPE = Recipe(epochs=1, batch=8, group=4, learning_rate=0.1, warm_up_epochs=0)
NAMES = tuple(sorted(Stripes().class_names))  # as folders sort


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("pictures") / "data")


def start(names=NAMES, classes=3, subnet=None):
    """Random weights for a task, or without one."""
    arch = replace(subnet or SPACE.narrowest().arch, classes=classes)
    weights = untrained(arch)
    task = Task(names, Preprocessing(SIDE, SIDE)) if names else None
    return Checkpoint(arch, weights.tensors, weights.provenance, task)


def prepared(checkpoint, data, out, kind="subnet", **settings):
    return weights_run(checkpoint, kind, TrainingOptions(out, str(data), RECIPE, settings))


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        (start(("cat", "dog", "owl")), "must be of the classes of `data`, found 'cat' where the data has 'blue'"),
        (start(NAMES[::-1]), "found 'red' where the data has 'blue' (class 0): the same names in another order"),
        (start(None, 1000), "must tell the 3 classes of `data` apart, found one for 1000"),
        (start((*NAMES, "pink"), 4), "must tell the 3 classes of `data` apart, found one for 4"),
    ],
    ids=["names", "order", "imported", "more"],
)
@pytest.mark.parametrize("kind", ["subnet", "finetune"])
def test_other_classes(checkpoint, said, data, tmp_path, kind):
    message = refusal(lambda: prepared(checkpoint, data, tmp_path / "run", kind))
    assert message.startswith("the checkpoint ")
    assert said in message
    assert not (tmp_path / "run").exists()


def test_an_import_without_names_gets_those_of_the_data(data, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        found = prepared(start(None), data, tmp_path / "run")
    assert "the checkpoint has no names of its classes: those of `data` are taken by number, 'blue' for class 0" in (
        caplog.text
    )
    assert found.train.class_names == NAMES
    assert found.start.task is None


def test_a_supernet_is_trained_on_as_the_network_that_it_is(data, tmp_path):
    """Its checkpoint is that of the widest network, of whatever space."""
    found = prepared(start(subnet=SPACE.widest().full), data, tmp_path / "run")
    assert (found.arch, found.space) == (SPACE.widest().full, None)


def test_another_image_size_is_the_weights_own_or_the_recipes(data, tmp_path):
    assert prepared(start(), data, tmp_path / "run").arch.image_size == SIDE
    larger = prepared(start(), data, tmp_path / "run", "finetune", image_size=24)
    assert (larger.arch.image_size, larger.preprocessing.image_size) == (24, 24)
    assert larger.start.tensors["stem.position"].shape[1] == 1 + 12 * 12
    message = refusal(lambda: prepared(start(), data, tmp_path / "run", "finetune", image_size=25))
    assert message.endswith("the nearest is 24; the recipe says so: set its image_size, or give another `recipe`")


def test_other_weights_do_not_go_on_with_a_run(tmp_path):
    one = start(("red", "green", "blue"))
    other = replace(one, tensors=dict(one.tensors) | {"head.linear.bias": np.ones(3, np.float32)})
    made = [run(tmp_path, space=None, arch=one.arch, recipe=RECIPE, start=weights) for weights in (one, other)]
    train(made[0], alone())
    with pytest.raises(BadInput, match="another network, space, recipe, data or seed, or other weights to start from"):
        train(made[1], alone())
