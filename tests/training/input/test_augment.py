"""Augmentation: random boxes lie inside, and all of it follows from its generator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.small_data import RECIPE, Stripes

from resnas_deploy.training.input.augment import augmented, random_box


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.01, 1), st.integers(0, 99))
def test_random_boxes_lie_inside(width, height, least, seed):
    left, top, right, bottom = random_box((width, height), least, np.random.default_rng(seed))
    assert 0 <= left < right <= width + 1e-6
    assert 0 <= top < bottom <= height + 1e-6


def test_augmentation_is_that_of_its_generator():
    recipe = replace(RECIPE, randaugment=9.0)
    views = [np.asarray(augmented(Stripes().image(0), recipe, np.random.default_rng(seed))) for seed in (0, 0, 1)]
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])
    assert views[0].dtype == np.uint8
