"""Whether a network without positions is one of a space: every drawn one is, a changed one is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import small_spaces
from support.small_spaces import SPACES

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.weights.space_files import packaged_spaces

spaces = st.one_of(st.sampled_from(SPACES), small_spaces.spaces())
seeds = st.integers(0, 2**32 - 1)


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(spaces, seeds)
def test_the_network_of_every_subnet_is_held(space: SearchSpace, seed: int) -> None:
    assert space.holds(space.sample(_rng(seed)).arch)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_the_networks_of_the_extremes_are_held(space: SearchSpace) -> None:
    assert space.holds(space.widest().arch)
    assert space.holds(space.narrowest().arch)


@given(spaces, seeds, st.data())
def test_a_network_with_a_dimension_of_no_choice_is_not_held(
    space: SearchSpace, seed: int, data: st.DataObject
) -> None:
    arch = space.sample(_rng(seed)).arch
    stage = data.draw(st.integers(0, len(space.stages) - 1))
    old = arch.stages[stage]
    number = data.draw(st.integers(0, len(old.blocks) - 1))
    block, blocks = old.blocks[number], list(old.blocks)
    field = data.draw(st.sampled_from(("width", "heads", "head_dim", "hidden", "mixer")))
    if field == "width":
        widest = max(max(choices.widths) for choices in space.stages)
        wider = [replace(other, width=widest + 1) for other in arch.stages[stage:]]  # later ones are never narrower
        assert not space.holds(replace(arch, stages=(*arch.stages[:stage], *wider)))
        return
    own = space.stages[stage]
    most = {"heads": own.heads, "head_dim": own.head_dims, "hidden": own.hidden}
    blocks[number] = replace(block, **{field: max(most[field]) + 1 if field in most else "window99"})
    stages = [
        replace(old, blocks=tuple(blocks)) if index == stage else other for index, other in enumerate(arch.stages)
    ]
    assert not space.holds(replace(arch, stages=tuple(stages)))


@given(spaces, seeds, st.data())
@settings(max_examples=40)
def test_a_network_with_too_few_or_too_many_blocks_is_not_held(
    space: SearchSpace, seed: int, data: st.DataObject
) -> None:
    stage = data.draw(st.integers(0, len(space.stages) - 1))
    arch, choices = space.sample(_rng(seed)).arch, space.stages[stage]
    block = arch.stages[stage].blocks[0]
    least, held = choices.blocks - len(choices.droppable), []
    for count in range(1, choices.blocks + 3):
        blocks = replace(arch.stages[stage], blocks=(block,) * count)
        if space.holds(replace(arch, stages=(*arch.stages[:stage], blocks, *arch.stages[stage + 1 :]))):
            held.append(count)
    assert held == list(range(least, choices.blocks + 1))


@pytest.mark.parametrize(
    ("field", "value"), [("classes", 10), ("image_size", 112), ("patch_size", 28), ("stem_mid_width", 0)]
)
def test_a_network_of_another_frame_is_not_held(field: str, value: int) -> None:
    arch = packaged_spaces()["small"].sample(_rng(0)).arch
    assert not packaged_spaces()["small"].holds(replace(arch, **{field: value}))


def test_each_published_network_is_held_by_its_space_alone() -> None:
    for name, expected in (("tiny", "tiny"), ("small", "small"), ("medium", "small")):
        assert [space.name for space in packaged_spaces().values() if space.holds(PUBLISHED[name].arch)] == [expected]
