"""Whether a network without positions is one of a space: every drawn one is, a changed one is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.weights.space_files import packaged_spaces

_STAGE = StageSpace((8, 6, 4), (3, 2, 1), (4,), (16, 12, 8), 4, (2, 3))
ADJACENT = SearchSpace("adjacent", (_STAGE, replace(_STAGE, widths=(16, 12, 8)), replace(_STAGE, widths=(16,))))

spaces = st.sampled_from([*packaged_spaces().values(), ADJACENT])
seeds = st.integers(0, 2**32 - 1)


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(spaces, seeds)
def test_the_network_of_every_subnet_is_held(space: SearchSpace, seed: int) -> None:
    assert space.holds(space.sample(_rng(seed)).arch)


@pytest.mark.parametrize("space", [*packaged_spaces().values(), ADJACENT], ids=lambda space: space.name)
def test_the_networks_of_the_extremes_are_held(space: SearchSpace) -> None:
    assert space.holds(space.widest().arch)
    assert space.holds(space.narrowest().arch)


@given(spaces, seeds, st.integers(0, 2), st.data())
def test_a_network_with_a_dimension_of_no_choice_is_not_held(
    space: SearchSpace, seed: int, stage: int, data: st.DataObject
) -> None:
    arch = space.sample(_rng(seed)).arch
    old = arch.stages[stage]
    number = data.draw(st.integers(0, len(old.blocks) - 1))
    block, blocks = old.blocks[number], list(old.blocks)
    field = data.draw(st.sampled_from(("width", "heads", "head_dim", "hidden")))
    if field == "width":
        new = replace(old, width=old.width - 1)  # the choices lie further apart
    else:
        most = {"heads": space.stages[stage].heads, "hidden": space.stages[stage].hidden}.get(field, (block.head_dim,))
        blocks[number] = replace(block, **{field: max(most) + 1})
        new = replace(old, blocks=tuple(blocks))
    stages = [new if index == stage else other for index, other in enumerate(arch.stages)]
    if field == "width" and stage and new.width < stages[stage - 1].width:
        stages[stage - 1] = replace(stages[stage - 1], width=new.width)
    assert not space.holds(replace(arch, stages=tuple(stages)))


@given(spaces, seeds, st.integers(0, 2))
@settings(max_examples=40)
def test_a_network_with_too_few_or_too_many_blocks_is_not_held(space: SearchSpace, seed: int, stage: int) -> None:
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
