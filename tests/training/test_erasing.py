"""Random erasing: which images and rectangles, and that what is written is standard normal noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnas_deploy.training.erasing import AREAS, ASPECTS, draw_boxes, erased

SIGMAS = 4.5  # by which a mean may be off: 1 in 150,000, and the seeds are fixed
ABSENT = 100.0  # no noise is as large


@pytest.fixture(scope="module")
def boxes():
    return draw_boxes(40_000, 224, 0.25, np.random.default_rng(0))


def near(found, expected, deviation, count, slack=0.0):
    return abs(found - expected) < SIGMAS * deviation / np.sqrt(count) + slack


def test_a_quarter_of_the_images_lose_a_rectangle(boxes):
    assert near((boxes != 0).any(1).mean(), 0.25, np.sqrt(0.25 * 0.75), len(boxes))
    assert not draw_boxes(100, 224, 0.0, np.random.default_rng(0)).any()
    assert (draw_boxes(100, 224, 1.0, np.random.default_rng(0))[:, 2:] > 0).all()


@given(st.integers(1, 64), st.integers(0, 99))
def test_rectangles_lie_inside(side, seed):
    found = draw_boxes(20, side, 1.0, np.random.default_rng(seed))
    assert (found[:, :2] >= 0).all()
    assert (found[:, :2] < found[:, 2:]).all()
    assert (found[:, 2:] <= side).all()


def test_areas_and_aspects_are_drawn_evenly(boxes):
    """Hold means and shares to those of even draws.

    One rectangle in 250, large and long, does not fit and is drawn anew: neither a share nor a mean, by the range,
    moves by more than that.
    """
    size = (boxes[:, 2:] - boxes[:, :2])[boxes[:, 2] > 0]
    count, even = len(size), 1 / np.sqrt(12)  # the deviation of an even draw, by its range
    areas = (size.prod(1) / 224**2 - AREAS[0]) / (AREAS[1] - AREAS[0])
    logs = np.log(size[:, 0] / size[:, 1])
    aspects = (logs - np.log(ASPECTS[0])) / (np.log(ASPECTS[1]) - np.log(ASPECTS[0]))
    for drawn in (areas, aspects):
        assert near(drawn.mean(), 0.5, even, count, slack=1 / 250)
        for quarter in (0.25, 0.5, 0.75):
            assert near((drawn < quarter).mean(), quarter, 0.5, count, slack=1 / 250)
    assert -0.01 < areas.min() < 0.01
    assert 0.98 < areas.max() < 1.01
    assert near(np.corrcoef(areas, aspects)[0, 1], 0, 1, count)


def test_places_are_drawn_evenly(boxes):
    own = boxes[boxes[:, 2] > 0]
    free = 225 - (own[:, 2:] - own[:, :2])
    for axis in (0, 1):
        place = (own[:, axis] + 0.5) / free[:, axis]
        assert near(place.mean(), 0.5, 1 / np.sqrt(12), len(own))
        assert near((place < 0.25).mean(), 0.25, 0.5, len(own))


def test_what_is_erased_becomes_standard_normal_noise_and_nothing_else_changes():
    boxes = draw_boxes(64, 64, 0.5, np.random.default_rng(0))
    images = torch.full((64, 3, 64, 64), ABSENT)
    changed = erased(images, boxes, [1, 2])
    assert (images == ABSENT).all()
    noise = []
    for image, (top, left, bottom, right) in zip(changed, boxes.tolist(), strict=True):
        noise.append(image[:, top:bottom, left:right].clone().flatten())
        image[:, top:bottom, left:right] = ABSENT
    assert (changed == ABSENT).all()
    every = torch.cat(noise).double()
    count = len(every)
    assert count == 3 * (boxes[:, 2:] - boxes[:, :2]).prod(1).sum() > 50_000
    for power, moment, deviation in ((1, 0, 1), (2, 1, np.sqrt(2)), (3, 0, np.sqrt(15)), (4, 3, np.sqrt(96))):
        assert near(every.pow(power).mean(), moment, deviation, count)  # of a standard normal distribution
    assert len(every.unique()) > 0.99 * count  # each pixel and channel has its own


def test_noise_has_nothing_to_do_with_that_of_another_channel_or_image():
    boxes = np.tile([0, 0, 32, 32], (4, 1))
    noise = erased(torch.zeros(4, 3, 32, 32), boxes, [5, 6]).flatten(2).double()
    lines = noise.flatten(0, 1)
    correlation = torch.corrcoef(lines) - torch.eye(12)
    assert correlation.abs().max() < SIGMAS / np.sqrt(lines.shape[1])


def test_a_groups_noise_follows_from_its_seed_alone():
    boxes = draw_boxes(12, 16, 0.7, np.random.default_rng(3))
    images = torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    together = erased(images, boxes, [7, 8, 9])
    apart = [
        erased(images[own], boxes[own], [seed]) for own, seed in zip(np.split(np.arange(12), 3), (7, 8, 9), strict=True)
    ]
    assert torch.equal(together, torch.cat(apart))
    assert not torch.equal(together, erased(images, boxes, [7, 8, 10]))


def test_no_rectangle_no_change():
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(erased(images, np.zeros((2, 4), np.int64), [0]), images)
