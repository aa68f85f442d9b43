"""A supernet's weights in another space: subnets that both spaces have compute what they did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.small_spaces import FOUR_STAGES, TWO_STAGES, spaces

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.network.module import build_model
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.slicing import slice_subnet
from resnas_deploy.weights.widening import widened


def supernet(space: SearchSpace, seed: int):
    return replace(untrained(space.widest().full, seed=seed), space=space)


def larger(space: SearchSpace) -> SearchSpace:
    """One more of everything: each stage wider, with more and longer heads, and a droppable block at the end."""
    stages = []
    for stage in space.stages:
        more = {
            name: (*getattr(stage, name), max(getattr(stage, name)) + 1) for name in ("heads", "head_dims", "hidden")
        }
        widest = max(max(each.widths) for each in space.stages) + 1
        stages.append(
            replace(
                stage,
                **more,
                widths=(*stage.widths, widest) if stage is space.stages[-1] else stage.widths,
                blocks=stage.blocks + 1,
                droppable=(*stage.droppable, stage.blocks + 1),
            )
        )
    mids = space.stem_mid_widths
    return replace(space, stages=tuple(stages), stem_mid_widths=mids if mids == (0,) else (*mids, max(mids) + 2))


def inside(space: SearchSpace, subnet: Subnet) -> Subnet:
    """A subnet of a smaller space, as the larger one has it: new positions are dropped."""
    widest, stages, kept = space.widest().full, [], []
    for stage, wide, flags in zip(subnet.full.stages, widest.stages, subnet.kept, strict=True):
        added = len(wide.blocks) - len(stage.blocks)
        stages.append(replace(stage, blocks=(*stage.blocks, *wide.blocks[len(stage.blocks) :])))
        kept.append((*flags, *(False,) * added))
    return Subnet(replace(subnet.full, stages=tuple(stages)), tuple(kept))


@given(spaces(), st.integers(0, 99))
def test_a_subnet_of_before_keeps_its_weights_to_the_bit(space, seed):
    grown = larger(space)
    found = widened(supernet(space, 1), untrained(grown.widest().full, seed=2), grown)
    assert found.space == grown
    subnet = space.sample(np.random.default_rng(seed))
    again = inside(grown, subnet)
    assert grown.contains(again)
    assert again.arch == subnet.arch
    before, after = slice_subnet(supernet(space, 1), subnet), slice_subnet(found, again)
    assert before.tensors.keys() == after.tensors.keys()
    for name, values in before.tensors.items():
        np.testing.assert_array_equal(after.tensors[name], values, err_msg=name)


@given(spaces(), st.integers(0, 99))
def test_there_and_back_is_what_was_there(space, seed):
    """Where the new space is narrower, leading slices of the weights remain."""
    grown = larger(space)
    there = widened(supernet(space, seed), untrained(grown.widest().full, seed=2), grown)
    back = widened(there, untrained(space.widest().full, seed=3), space)
    assert back.digest == supernet(space, seed).digest


@pytest.mark.parametrize("space", [TWO_STAGES, FOUR_STAGES], ids=lambda space: space.name)
def test_its_logits_are_the_same(space):
    grown, rng = larger(space), np.random.default_rng(0)
    found = widened(supernet(space, 1), untrained(grown.widest().full, seed=2), grown)
    images = torch.randn(3, 3, space.image_size, space.image_size, generator=torch.Generator().manual_seed(0))
    for subnet in (space.widest(), space.narrowest(), space.sample(rng), space.sample(rng)):
        before, after = slice_subnet(supernet(space, 1), subnet), slice_subnet(found, inside(grown, subnet))
        with torch.inference_mode():
            torch.testing.assert_close(build_model(after)(images), build_model(before)(images), rtol=0, atol=0)


def test_what_is_new_is_fresh():
    grown = larger(TWO_STAGES)
    fresh = untrained(grown.widest().full, seed=2)
    found = widened(supernet(TWO_STAGES, 1), fresh, grown)
    for name in fresh.tensors:
        if name.startswith("stage1.block4."):
            np.testing.assert_array_equal(found.tensors[name], fresh.tensors[name])
    hidden = TWO_STAGES.widest().full.stages[0].blocks[0].hidden
    name = "stage1.block1.mlp.fc1.weight"
    np.testing.assert_array_equal(found.tensors[name][hidden:], fresh.tensors[name][hidden:])
    assert not np.array_equal(found.tensors[name][:hidden], fresh.tensors[name][:hidden])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (TWO_STAGES.with_image_size(24), "image_size must be the supernet's 16, found 24"),
        (TWO_STAGES.with_classes(4), "classes must be the supernet's 3, found 4"),
        (replace(TWO_STAGES, stem_mid_widths=(0,)), "a stem of its kind"),
    ],
)
def test_another_kind_of_space_is_refused(other, message):
    with pytest.raises(BadInput, match=message):
        widened(supernet(TWO_STAGES, 1), untrained(other.widest().full, seed=2), other)
