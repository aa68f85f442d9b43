"""The fixed subnets of a supernet that each epoch evaluates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.small_data import RECIPE, SPACE, Stripes, alone, run

from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.subnet_accuracy import (
    LEAST,
    LEAST_IMAGES,
    MEAN,
    NARROWEST,
    SHARE,
    WIDEST,
    FixedSubnets,
    balanced,
)
from resnas_deploy.weights.checkpoint import untrained


def network(masked=False):
    found = TrainedNetwork(SPACE.widest().full, masked=masked)
    found.load(untrained(found.arch, 3))
    return found.eval()


def fixed(folder, **changes):
    return FixedSubnets(run(folder, **{"held_out": Stripes(30, seed=2), **changes}), SPACE, alone())


@pytest.mark.parametrize("masked", [False, True])
def test_each_figure_is_the_share_that_its_subnet_gets_right(tmp_path, masked):
    subnets = fixed(tmp_path)
    found = subnets.measure(network(masked))
    images = Stripes(30, seed=2)
    pixels = np.stack([np.asarray(images.image(number)) for number in range(30)]).transpose(0, 3, 1, 2) / 255.0
    preprocessing = run(tmp_path).preprocessing
    mean, std = (np.array(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    inputs = torch.from_numpy(((pixels - mean) / std).astype(np.float32))
    for name, subnet in subnets.subnets.items():
        with torch.inference_mode():
            right = network()(inputs, (subnet,)).image.argmax(1).numpy() == images.labels
        assert found.top1[name] == pytest.approx(right.mean()), name
    assert found.images == 30
    assert len(found.top1) == 10
    assert len(set(found.top1.values())) > 1  # else nothing would tell the subnets apart
    figures = found.figures
    assert figures[MEAN] == pytest.approx(np.mean(list(found.top1.values())))
    assert figures[LEAST] == min(found.top1.values())


def test_the_subnets_are_the_seeds(tmp_path):
    one, same, other = (fixed(tmp_path, seed=seed).subnets for seed in (0, 0, 1))
    assert one == same
    assert one != other
    assert (one[WIDEST], one[NARROWEST]) == (SPACE.widest(), SPACE.narrowest())
    assert len({subnet.arch.fingerprint for subnet in one.values()}) == 10


def test_the_images_are_bounded_by_what_an_epoch_trains_on(tmp_path):
    bounded = fixed(tmp_path, train=Stripes(20_000), held_out=Stripes(900)).measure(network())
    assert bounded.images == SHARE * 20_000 == 300
    assert fixed(tmp_path, held_out=Stripes(900)).measure(network()).images == LEAST_IMAGES
    assert fixed(tmp_path, held_out=None).measure(network()).images == 9  # the validation split


def test_they_are_decoded_once(tmp_path, monkeypatch):
    subnets, decoded, image = fixed(tmp_path), [], Stripes.image

    def counted(self, index):
        decoded.append(index)
        return image(self, index)

    monkeypatch.setattr(Stripes, "image", counted)
    assert subnets.measure(network()) == subnets.measure(network())
    assert sorted(decoded) == list(range(30))


def test_images_are_of_each_class_alike():
    labels = np.array([0] * 50 + [1] * 5 + [2] * 20)
    chosen = balanced(labels, 12)
    assert np.bincount(labels[chosen]).tolist() == [4, 4, 4]
    assert np.bincount(labels[balanced(labels, 25)]).tolist() == [10, 5, 10]
    assert balanced(labels, 1000).tolist() == list(range(75))
    assert chosen.tolist() == balanced(labels, 12).tolist()
    assert chosen.tolist() != [0, 1, 2, 3, 50, 51, 52, 53, 55, 56, 57, 58]  # not the first ones


def test_epochs_tell_of_them(tmp_path):
    from resnas_deploy.training.loop import train

    told = []
    train(run(tmp_path, recipe=RECIPE.override({"epochs": 1})), alone(), each_epoch=told.append)
    assert "; of 10 subnets " in told[-1]
    assert told[-1].partition("; of 10 subnets ")[2].count("%") == 3  # mean, widest, narrowest
