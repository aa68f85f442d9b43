"""Subnets as text, and in the one way in which they are written."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.small_data import SPACE

from resnas_deploy.searching.candidate import canonical, subnet_from_line, subnet_line


@given(st.integers(0, 200))
def test_subnets_survive_as_text_and_have_one_way_to_be_written(seed):
    subnet = SPACE.sample(np.random.default_rng(seed))
    one = canonical(subnet, SPACE.widest())
    assert subnet_from_line(subnet_line(one)) == one
    assert one.arch == subnet.arch
    assert one.kept == subnet.kept
    assert canonical(one, SPACE.widest()) == one
    assert SPACE.contains(one)
