"""CutMix by cells and Mixup, with a label for every cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnas_deploy.training.mixing import mix, soft_labels, unmixed

SIDE, CLASSES = 4, 5


def constant(count, size=8):
    """Images whose every pixel is their own number, with that number as the label."""
    return torch.arange(count).float()[:, None, None, None].expand(-1, 3, size, size).clone(), torch.arange(count)


@given(st.integers(1, 5), st.integers(0, 50))
def test_targets_are_distributions(count, seed):
    images, labels = constant(count)
    mixed = mix(images, labels, CLASSES, SIDE, 0.1, np.random.default_rng(seed))
    assert torch.allclose(mixed.target.sum(-1), torch.ones(count))
    assert torch.allclose(mixed.patch_targets.sum(-1), torch.ones(count, SIDE * SIDE))
    assert torch.allclose(mixed.patch_targets.mean(1), mixed.target, atol=1e-6)


@given(st.integers(0, 50))
def test_every_label_is_that_of_its_cell(seed):
    images, labels = constant(4)
    mixed = mix(images, labels, CLASSES, SIDE, 0.0, np.random.default_rng(seed))
    # A pixel's value is the share-weighted mean of the numbers of both images: so is its label's expectation.
    cells = mixed.images.reshape(4, 3, SIDE, 2, SIDE, 2).mean((1, 3, 5)).flatten(1)
    expected = (mixed.patch_targets * torch.arange(CLASSES)).sum(-1)
    assert torch.allclose(cells, expected, atol=1e-5)


def test_one_half_is_cut_and_the_other_blended():
    images, labels = constant(4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        mixed = mix(images, labels, CLASSES, SIDE, 0.0, rng)
        for index in (0, 2):  # whole cells of one image or the other
            assert set(mixed.images[index].unique().tolist()) <= {0.0, 2.0}
        for index in (1, 3):  # every pixel alike
            assert len(mixed.images[index].unique()) == 1


def test_shares_are_those_of_the_beta_distributions():
    images, labels = constant(4)
    rng = np.random.default_rng(0)
    own = torch.stack([mix(images, labels, CLASSES, SIDE, 0.0, rng).target[range(4), range(4)] for _ in range(3000)])
    assert own[:, 1].mean() == pytest.approx(0.5, abs=0.02)
    assert own[:, 1].var() == pytest.approx(0.25 / (2 * 0.8 + 1), abs=0.01)  # Beta(0.8, 0.8)
    assert own[:, 0].mean() == pytest.approx(0.5, abs=0.05)


def test_unmixed_images_stay_as_they_are():
    images, labels = constant(3)
    found = unmixed(images, labels, CLASSES, SIDE, 0.1)
    assert torch.equal(found.images, images)
    assert torch.equal(found.target, soft_labels(labels, CLASSES, 0.1))
    assert found.patch_targets.shape == (3, SIDE * SIDE, CLASSES)
    assert found.target[0].tolist() == pytest.approx([0.92, 0.02, 0.02, 0.02, 0.02])
