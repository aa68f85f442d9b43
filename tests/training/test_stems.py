"""The stem's convolutions at several widths: leading channels, and batch statistics of the images that have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.checks import assert_close
from support.small_spaces import FOUR_STAGES

from resnas_deploy.network.module import Stem, build_model, part_of
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.stems import masked_features, sliced_features
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.slicing import slice_subnet

SPACE = FOUR_STAGES
WIDTHS = (5, 2, 4, 4, 2, 2)  # of six images; of the supernet 5
TOLERANCE = 1e-12  # in float64


def stem():
    network = TrainedNetwork(SPACE.widest().full)
    network.load(untrained(SPACE.widest().full))
    return part_of(network.body, "stem", Stem).double()


def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(WIDTHS), 3, SPACE.image_size, SPACE.image_size, generator=generator, dtype=torch.float64)


def masks(widths=WIDTHS):
    return (torch.arange(5) < torch.tensor(widths)[:, None]).double()


def by_hand(stem, images, widths):
    """One channel after the other, of the images that have it, with PyTorch's own batch normalisation."""

    def layer(conv, norm, x):
        filtered = conv(x)
        found = torch.zeros_like(filtered)
        for channel in range(5):
            there = [index for index, width in enumerate(widths) if width > channel]
            one = slice(channel, channel + 1)
            if there:
                found[there, one] = F.batch_norm(
                    filtered[there, one],
                    norm.running_mean[one],
                    norm.running_var[one],
                    norm.weight[one],
                    norm.bias[one],
                    training=True,
                    momentum=norm.momentum,
                    eps=norm.eps,
                )
        return F.relu(found) * masks(widths)[:, :, None, None]

    x = layer(stem.conv1, stem.bn1, images)
    return x + layer(stem.conv3, stem.bn3, layer(stem.conv2, stem.bn2, x))


@pytest.mark.parametrize("widths", [WIDTHS, (5,) * 6, (4, 2, 2, 4, 2, 2)], ids=["mixed", "all", "none the widest"])
def test_a_channels_statistics_are_those_of_the_images_that_have_it(widths):
    own, hand = stem().train(), stem().train()
    found, expected = masked_features(own, images(), masks(widths)), by_hand(hand, images(), widths)
    assert_close(found.detach(), expected.detach(), TOLERANCE, "features")
    weights = torch.randn_like(expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for (name, one), other in zip(own.named_parameters(), hand.parameters(), strict=True):
        if other.grad is not None:
            assert_close(one.grad, other.grad, TOLERANCE * 100, f"gradient of {name}")
    for (name, one), other in zip(own.named_buffers(), hand.buffers(), strict=True):
        assert_close(one, other, TOLERANCE, name)


def test_where_all_images_have_all_channels_it_is_the_plain_stem():
    own, plain = stem().train(), stem().train()
    assert_close(
        masked_features(own, images(), masks((5,) * 6)).detach(), plain.features(images()).detach(), TOLERANCE, "all"
    )
    for number in (1, 2, 3):
        mean = f"bn{number}.running_mean"
        assert_close(own.get_buffer(mean), plain.get_buffer(mean), TOLERANCE, mean)


def test_masks_slices_and_the_sliced_network_agree_in_evaluation():
    whole = stem().eval()
    rng = np.random.default_rng(0)
    together = masked_features(whole, images(), masks()).detach()
    for index, width in enumerate(WIDTHS):
        own = sliced_features(whole, images()[index : index + 1], width).detach()
        assert_close(together[index : index + 1, :width], own, TOLERANCE, f"width {width}")
        assert (together[index, width:] == 0).all()
        subnet = SPACE.sample(rng)
        while subnet.full.stem_mid_width != width:
            subnet = SPACE.sample(rng)
        alone = build_model(slice_subnet(untrained(SPACE.widest().full), subnet)).double()
        assert_close(own, alone.stem.features(images()[index : index + 1]).detach(), TOLERANCE, f"network {width}")
