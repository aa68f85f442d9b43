"""Token mixers: names, what they are on a grid, and how many pairs of tokens they look at."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.networks import SMALL
from support.small_spaces import MIXERS, spaces

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.mixer import Mixer, mixer_named
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.arch.spec import ArchSpec, Block

sides = st.integers(1, 20)


@pytest.mark.parametrize("name", MIXERS)
def test_a_name_comes_back(name):
    assert str(mixer_named(name)) == name


@pytest.mark.parametrize(
    "name", ["", "Global", "window", "window0", "window07", "window-2", "pooled2x2", "window12345"]
)
def test_what_is_no_mixer_is_one_line(name):
    stages = list(SMALL.stages)
    blocks = (Block(2, 4, 10, name),)
    said = refusal(lambda: replace(SMALL, stages=(replace(stages[0], blocks=blocks), *stages[1:])))
    assert said.startswith("stages[0].blocks[0].mixer must be global, windowN or pooledN")
    data = SMALL.to_json()
    data["stages"][1]["blocks"][0]["mixer"] = name
    assert refusal(lambda: ArchSpec.from_json(data)).startswith("stages[1].blocks[0].mixer must be global")
    assert refusal(lambda: StageSpace((8,), (1,), (4,), (8,), 1, mixers=(name,))).startswith("each of mixers must be")


@given(sides, st.integers(0, 20))
def test_a_window_that_covers_the_grid_and_a_pool_of_one_are_global(side, more):
    for mixer in (Mixer("window", side + more), Mixer("pooled", 1), mixer_named("global")):
        assert mixer.at(side) == Mixer()
        assert mixer.pairs(side) == (side**2 + 1) ** 2
    assert str(Mixer()) == "global"


@given(sides, st.integers(0, 20))
def test_a_cell_is_no_larger_than_the_grid(side, more):
    assert Mixer("pooled", side + more).at(side) == Mixer("pooled", side).at(side)
    assert Mixer("pooled", side + more).pairs(side) == Mixer("pooled", side).pairs(side)


@pytest.mark.parametrize("mixers", ["window7", ["window7"], 7, None, {"window7"}])
def test_mixers_in_python_are_a_tuple(mixers):
    said = refusal(lambda: StageSpace((8,), (1,), (4,), (8,), 1, mixers=mixers))
    assert said.startswith("mixers must be a tuple of mixers, found")


@given(sides, st.integers(1, 20))
def test_pairs_are_those_that_may_look_at_each_other(side, size):
    window = [(index // side // size, index % side // size) for index in range(side**2)]
    inside = sum(one == other for one in window for other in window)
    assert Mixer("window", size).pairs(side) == inside + 2 * side**2 + 1  # and the class token's column and row
    assert Mixer("pooled", size).sources(side) == len(set(window)) + 1
    assert Mixer("pooled", size).pairs(side) == (side**2 + 1) * (len(set(window)) + 1)


@given(sides, st.integers(1, 20))
def test_regions_are_the_grid_without_a_gap(side, size):
    covered = [
        (row, column)
        for region in Mixer("window", size).regions(side)
        for row in range(region.top, region.top + region.height)
        for column in range(region.left, region.left + region.width)
    ]
    assert sorted(covered) == [(row, column) for row in range(side) for column in range(side)]
    assert all(
        region.windows * region.window_tokens == region.height * region.width
        for region in Mixer("window", size).regions(side)
    )


def test_specs_without_a_mixer_are_written_as_before():
    assert "mixer" not in str(SMALL.to_json())
    data = SMALL.to_json()
    data["stages"][0]["blocks"][0]["mixer"] = "window2"
    read = ArchSpec.from_json(data)
    assert read.stages[0].blocks[0].mixer == "window2"
    assert read.to_json() == data
    assert read.fingerprint != SMALL.fingerprint


@given(spaces())
def test_the_widest_and_the_narrowest_have_the_dearest_and_the_cheapest_mixers(space: SearchSpace):
    for end, worse in ((space.widest(), max), (space.narrowest(), min)):
        found = macs(end.arch)
        for number, stage in enumerate(space.stages):
            for mixer in stage.mixers:
                stages = list(end.full.stages)
                stages[number] = replace(
                    stages[number], blocks=tuple(replace(block, mixer=mixer) for block in stages[number].blocks)
                )
                assert worse(found, macs(replace(end, full=replace(end.full, stages=tuple(stages))).arch)) == found
