"""CutMix by cells and Mixup, with a label for every cell."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnas_deploy.training.mixing import draw_cells, draw_mixing, mix, soft_labels, unmixed

SIDE, CLASSES = 4, 5
SIGMAS = 4.5  # by which a count may be off: 1 in 150,000, and the seeds are fixed


def constant(count, size=8):
    """Images whose every pixel is their own number, with that number as the label."""
    return torch.arange(count).float()[:, None, None, None].expand(-1, 3, size, size).clone(), torch.arange(count)


def mixed_at_random(count, smoothing, seed):
    images, labels = constant(count)
    mixing = draw_mixing(1, count, SIDE, np.random.default_rng(seed))
    return mix(images, labels, mixing, 2, CLASSES, smoothing)


@given(st.integers(1, 5), st.integers(0, 50))
def test_targets_are_distributions(count, seed):
    mixed = mixed_at_random(count, 0.1, seed)
    assert torch.allclose(mixed.target.sum(-1), torch.ones(count))
    assert torch.allclose(mixed.patch_targets.sum(-1), torch.ones(count, SIDE * SIDE))
    assert torch.allclose(mixed.patch_targets.mean(1), mixed.target, atol=1e-6)


@given(st.integers(0, 50))
def test_every_label_is_that_of_its_cell(seed):
    mixed = mixed_at_random(4, 0.0, seed)
    # A pixel's value is the share-weighted mean of the numbers of both images: so is its label's expectation.
    cells = mixed.images.reshape(4, 3, SIDE, 2, SIDE, 2).mean((1, 3, 5)).flatten(1)
    expected = (mixed.patch_targets * torch.arange(CLASSES)).sum(-1)
    assert torch.allclose(cells, expected, atol=1e-5)


@pytest.mark.parametrize(("size", "cell"), [(7, 2), (25, 7), (22, 7)])
def test_the_last_cells_of_an_odd_grid_are_cut(size, cell):
    """A pixel has the label of its cell, and the image that of its pixels, of which the last cells have fewer."""
    images, labels = constant(6, size)
    for seed in range(20):
        mixed = mix(images, labels, draw_mixing(2, 3, SIDE, np.random.default_rng(seed)), cell, 6, 0.0)
        expected = (mixed.patch_targets * torch.arange(6)).sum(-1).view(6, 1, SIDE, SIDE)
        at = torch.arange(size) // cell
        assert torch.allclose(mixed.images, expected[:, :, at][..., at].expand(-1, 3, -1, -1), atol=1e-5)
        assert torch.allclose(mixed.images.mean((1, 2, 3)), (mixed.target * torch.arange(6)).sum(-1), atol=1e-5)


def test_one_half_is_cut_and_the_other_blended():
    for seed in range(50):
        mixed = mixed_at_random(4, 0.0, seed)
        for index in (0, 2):  # whole cells of one image or the other
            assert set(mixed.images[index].unique().tolist()) <= {0.0, 2.0}
        for index in (1, 3):  # every pixel alike
            assert len(mixed.images[index].unique()) == 1


@given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 50))
def test_groups_mix_among_themselves_alone(groups, size, seed):
    mixing = draw_mixing(groups, size, SIDE, np.random.default_rng(seed))
    numbers = np.arange(groups * size)
    assert np.array_equal(mixing.others // size, numbers // size)
    assert np.array_equal(mixing.others % size % 2, numbers % size % 2)  # those cut, and those blended
    assert sorted(mixing.others) == numbers.tolist()
    last = mixing.part(slice((groups - 1) * size, groups * size))
    assert np.array_equal(last.others, mixing.others[:size])
    assert np.array_equal(last.shares, mixing.shares[-size:])


def test_shares_of_mixup_are_those_of_its_beta_distribution():
    shares = draw_mixing(100, 200, SIDE, np.random.default_rng(0)).shares[1::2]
    assert (shares == shares[:, :1]).all()
    count, variance = len(shares), 0.25 / (2 * 0.8 + 1)  # of Beta(0.8, 0.8)
    assert shares[:, 0].mean() == pytest.approx(0.5, abs=SIGMAS * np.sqrt(variance / count))
    # The fourth central moment of a Beta distribution, for the deviation of a variance.
    fourth = variance**2 * (3 - 6 / (2 * 0.8 + 3))
    assert shares[:, 0].var() == pytest.approx(variance, abs=SIGMAS * np.sqrt((fourth - variance**2) / count))


# Height x width: its probability, on 4 x 4 cells, by the paper's release.
RECTANGLES = {
    (0, 0): 1 / 16,
    (1, 1): 1 / 16,
    (1, 2): 1 / 16,
    (1, 3): 1 / 16,
    (1, 4): 1 / 8,
    (2, 2): 1 / 16,
    (2, 3): 1 / 16,
    (2, 4): 1 / 4,
    (3, 4): 1 / 4,
}


def test_rectangles_of_cutmix_are_as_likely_as_the_papers():
    cells = draw_cells(40_000, 4, np.random.default_rng(0))
    heights, widths = cells.any(2).sum(1), cells.any(1).sum(1)
    assert (cells.sum((1, 2)) == heights * widths).all()  # they are rectangles
    found = Counter(zip(heights.tolist(), widths.tolist(), strict=True))
    assert found.keys() == RECTANGLES.keys()
    for shape, share in RECTANGLES.items():
        bound = SIGMAS * np.sqrt(len(cells) * share * (1 - share))
        assert abs(found[shape] - share * len(cells)) < bound, shape


@pytest.mark.parametrize(("side", "mean", "most"), [(4, 0.406, 12), (7, 0.447, 42)])
def test_cutmix_takes_as_much_as_the_papers(side, mean, most):
    """Hold the mean share to its exact value; the reference, at 7 x 7, was measured to take 0.445."""
    sizes = draw_cells(40_000, side, np.random.default_rng(0)).sum((1, 2))
    error = SIGMAS * sizes.std() / np.sqrt(len(sizes)) / side**2
    assert sizes.mean() / side**2 == pytest.approx(mean, abs=error + 0.0005)
    assert (sizes.min(), sizes.max()) == (0, most)


@pytest.mark.parametrize("side", [4, 7])
def test_every_place_of_a_rectangle_is_as_likely(side):
    cells = draw_cells(40_000, side, np.random.default_rng(0))
    heights, widths = cells.any(2).sum(1), cells.any(1).sum(1)
    assert (cells.mean(0) > 0.1).all()  # the last row and column as well
    for lengths, lines in ((heights, cells.any(2)), (widths, cells.any(1))):
        for length in range(1, side):
            firsts = Counter(lines[lengths == length].argmax(1).tolist())
            total, places = sum(firsts.values()), side - length + 1
            bound = SIGMAS * np.sqrt(total / places * (1 - 1 / places))
            assert not total or set(firsts) == set(range(places))
            assert all(abs(count - total / places) < bound for count in firsts.values())


def test_unmixed_images_stay_as_they_are():
    images, labels = constant(3)
    found = unmixed(images, labels, CLASSES, SIDE, 0.1)
    assert torch.equal(found.images, images)
    assert torch.equal(found.target, soft_labels(labels, CLASSES, 0.1))
    assert found.patch_targets.shape == (3, SIDE * SIDE, CLASSES)
    assert found.target[0].tolist() == pytest.approx([0.92, 0.02, 0.02, 0.02, 0.02])
