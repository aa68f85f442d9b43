"""The part of a training split that is held out for a search."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.small_data import CLASSES, Stripes

from resnas_deploy.data.labelled import split


@given(st.integers(1, 7))
def test_the_held_out_part_is_so_many_of_each_class_and_no_other(held_out):
    images = Stripes(24)
    train, held = split(images, held_out)
    assert np.bincount(held.labels).tolist() == [held_out] * CLASSES
    assert sorted([*train.indices, *held.indices]) == list(range(24))
    fewer = split(images, held_out - 1)[1]
    assert set(fewer.indices) <= set(held.indices)  # a search may use fewer than training held out


def test_more_held_out_than_there_are_is_refused():
    assert "the class 'red' must have more than the 8 images" in refusal(lambda: split(Stripes(24), 8))
