"""What may stand in a list, and the networks that stand for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from support.shaped_spaces import little
from support.small_spaces import FOUR_STAGES, TWO_STAGES, spaces

import resnas_deploy as resnas
from resnas_deploy.arch.cost import macs
from resnas_deploy.shaping.candidates import MOST, STEM, dimensions
from resnas_deploy.shaping.pieces import REPEATED, piece
from resnas_deploy.weights.space_files import packaged_spaces

SMALL = packaged_spaces()["small"]


def test_values_beside_and_between():
    found = {(each.stage, each.name): each for each in dimensions(SMALL)}
    assert found[0, "widths"].choices == (320, 280, 240, 220, 200)
    assert found[0, "widths"].others == (288, 256, 224, 208)
    assert found[1, "heads"].others == (15, 13, 11)
    assert found[1, "head_dims"].values == (64, 48)
    assert found[2, "head_dims"].values == (64,)
    assert found[None, STEM].values == (32, 24)
    assert len(found) == 13


def test_a_width_stays_within_the_stage_after():
    tight = replace(SMALL, stages=(replace(SMALL.stages[0], widths=(396,)), *SMALL.stages[1:]))
    assert dimensions(tight)[1].values == (400, 396)  # 416 would be wider than 400, the next stage's narrowest


@given(spaces())
def test_any_space(space):
    for each in dimensions(space):
        assert set(each.choices) <= set(each.values)
        assert not set(each.others) & set(each.choices)
        assert len(each.values) <= MOST
        costs = [macs(piece(space, each, value)) for value in each.values]
        assert costs == sorted(costs, reverse=True) or each.name == "mixers"
        assert len({piece(space, each, value).fingerprint for value in each.values}) == len(each.values)


@pytest.mark.parametrize("space", [TWO_STAGES, FOUR_STAGES, SMALL], ids=lambda space: space.name)
def test_a_piece_differs_in_nothing_else_and_spends_most_on_it(space):
    for each in dimensions(space):
        if each.stage is None:
            continue
        arch = piece(space, each, each.values[0])
        stage = arch.stages[each.stage]
        assert len(stage.blocks) in (REPEATED, REPEATED + 1)
        grids = [arch.image_size // arch.patch_size // 2**number for number in range(len(arch.stages))]
        assert grids[each.stage] == space.image_size // space.patch_size // 2**each.stage
        assert sum(len(one.blocks) for one in arch.stages) - len(stage.blocks) == len(arch.stages) - 1


def test_mixers_from_the_one_that_sees_most():
    space = little(mixers=("pooled4", "window2", "pooled2", "window3"))
    (found,) = (each for each in dimensions(space) if each.name == "mixers")
    assert found.values == ("global", "window3", "window2", "pooled2", "pooled4")
    assert found.may_replace("global", "pooled2")
    assert found.may_replace("window3", "window2")
    assert found.may_replace("window4", "pooled2")  # on 4 x 4 tokens it is global
    assert not found.may_replace("window3", "pooled4")
    blocks = {piece(space, found, value).stages[0].blocks for value in found.values}
    assert {each[0].mixer for each in blocks} == set(found.values)
    heads = little(heads=(2, 1), mixers=("window2",))
    assert {each.mixer for each in piece(heads, dimensions(heads)[2], 2).stages[0].blocks} == {"window2"}


def test_too_many_choices_to_stand_side_by_side():
    with pytest.raises(resnas.BadInput, match=r"^stage 1 hidden must have at most 24 choices, .* found 25; leave some"):
        dimensions(little(hidden=tuple(range(32, 32 + 25))))
