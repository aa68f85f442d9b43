"""Ranges move towards the gain, and what comes of it is always a space within its bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mini_space import MINI
from support.small_spaces import spaces

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.evolving.dimensions import Dimension, dimensions, step, values
from resnas_deploy.evolving.effects import Effect, Estimate
from resnas_deploy.evolving.moves import Bounded, moves
from resnas_deploy.searching.costs import CostKind, CostLimit, CostLimits, macs_cost
from resnas_deploy.weights.space_text import parse_space, space_text


def effect(space: SearchSpace, dimension: Dimension, sign: int, size: float = 0.01) -> Effect:
    gain = Estimate(sign * size, sign * size - 0.002, sign * size + 0.002)
    return Effect(dimension, step(space, dimension), gain, gain, 1.0, gain)


def bounded(space: SearchSpace, share: float = 10.0, growth: float = 10.0) -> Bounded:
    widest = macs(space.widest().arch)
    return Bounded(CostLimits((CostLimit(macs_cost(), share * widest / 1e9),)), growth * widest)


def moved(space: SearchSpace, wanted: dict[Dimension, int], **bounds: float):
    found = [effect(space, dimension, wanted.get(dimension, 0)) for dimension in dimensions(space)]
    return moves(space, found, bounded(space, **bounds))


@given(st.data(), spaces(), st.floats(0.05, 3), st.floats(1, 3))
def test_what_comes_of_it_is_a_space_within_its_bounds(data, space, share, growth):
    signs = {dimension: data.draw(st.integers(-1, 1)) for dimension in dimensions(space)}
    inside = bounded(space, share, growth)
    found, done = moved(space, signs, share=share, growth=growth)
    assert parse_space(space_text(found), "found.toml") == found
    assert macs(found.widest().arch) <= max(inside.most_macs, macs(space.widest().arch))
    if inside.limits.highest([space.narrowest()])[0] <= 1:
        assert inside.limits.highest([found.narrowest()])[0] <= 1
    assert [move.effect.dimension for move in done] == list(dimensions(space))
    for move in done:
        dimension = move.effect.dimension
        assert (move.before, move.after) == (values(space, dimension), values(found, dimension))
        if not signs[dimension] and not dimension.mixer:
            assert not move.moved
        elif dimension.mixer:  # which goes where it is the worse one, or another one went
            assert set(move.after) <= set(move.before)
            assert len(move.after) >= 1
        elif move.moved:
            more = sum(move.after) / len(move.after) > sum(move.before) / len(move.before)
            assert more == (signs[dimension] > 0)
        assert dimension.mixer or len(move.after) >= 2
        assert move.why


def test_nothing_moves_without_a_gain():
    found, done = moved(MINI, {})
    assert found == MINI
    assert {move.why for move in done} == {"no gain beyond its interval"}


@pytest.mark.parametrize(
    ("what", "stage", "sign", "after"),
    [
        ("width", 1, -1, (4, 8, 12)),
        ("width", 3, 1, (28, 32, 36)),
        ("hidden", 2, 1, (32, 48, 64)),
        ("heads", 3, 1, (2, 3, 4)),
        ("heads", 3, -1, (1, 2)),  # none is below 1
        ("heads", 1, -1, (1, 2)),  # which would leave a single one
        ("blocks", 1, 1, (3, 4, 5)),
        ("blocks", 1, -1, (1, 2, 3)),
    ],
)
def test_a_range_moves_by_its_own_step(what, stage, sign, after):
    dimension = Dimension(what, stage)
    found, _ = moved(MINI, {dimension: sign})
    assert values(found, dimension) == after


def test_blocks_come_and_go_at_the_end():
    """MINI has four, of which 2 and 4 may be dropped."""
    up, _ = moved(MINI, {Dimension("blocks", 1): 1})
    assert (up.stages[0].blocks, up.stages[0].droppable) == (5, (4, 5))
    down, _ = moved(MINI, {Dimension("blocks", 1): -1})
    assert (down.stages[0].blocks, down.stages[0].droppable) == (3, (2, 3))


def test_a_stage_that_is_in_the_way_may_go_first():
    """Stage 1 can be wider than 16 only once the narrowest of stage 2, 16, is gone."""
    one, two = Dimension("width", 1), Dimension("width", 2)
    found, done = moved(MINI, {one: 1})
    assert values(found, one) == (12, 16)
    assert "stages[1].widths must all be at least" in done[0].why
    assert "8 was dropped" in done[0].why
    three = Dimension("width", 3)
    all_, _ = moved(MINI, {one: 1, two: 1, three: 1})
    assert [values(all_, each) for each in (one, two, three)] == [(12, 16, 20), (20, 24, 28), (28, 32, 36)]


def test_what_would_grow_too_much_stays():
    dimension = Dimension("hidden", 3)
    found, done = moved(MINI, {dimension: 1}, growth=1.0)
    move = next(move for move in done if move.effect.dimension == dimension)
    assert "that the space may grow to" in move.why
    assert values(found, dimension) == (48, 64)


def test_what_no_subnet_within_the_limits_could_have_does_not_come():
    dimension = Dimension("hidden", 3)
    least = macs(MINI.narrowest().arch) / macs(MINI.widest().arch)
    found, done = moved(MINI, {dimension: 1}, share=1.0001 * least)
    move = next(move for move in done if move.effect.dimension == dimension)
    assert "no subnet with 80 would be within the limits" in move.why
    assert values(found, dimension)[-1] == 64


MIXED = replace(
    MINI,
    stages=(replace(MINI.stages[0], mixers=("global", "window4", "pooled2")), *MINI.stages[1:]),
)


def mixer(name: str) -> Dimension:
    return Dimension("mixer", 1, name)


def test_a_mixer_that_gains_less_than_the_others_goes():
    assert {mixer("global"), mixer("window4"), mixer("pooled2")} <= set(dimensions(MIXED))
    found, done = moved(MIXED, {mixer("pooled2"): -1, mixer("global"): 1})
    assert found.stages[0].mixers == ("global", "window4")
    told = {move.effect.dimension.mixer: move.why for move in done if move.effect.dimension.mixer}
    assert told["pooled2"] == "worse than the others of the stage"
    assert told["global"] == "better than the others of the stage"


def test_of_mixers_that_are_one_on_the_grid_there_is_one_choice_which_goes_under_every_name():
    """The first stage of the space has 8 x 8 tokens."""
    names = ("window8", "global", "pooled2", "pooled1", "window9")
    space = replace(MIXED, stages=(replace(MIXED.stages[0], mixers=names), *MIXED.stages[1:]))
    asked = [dimension for dimension in dimensions(space) if dimension.mixer]
    assert asked == [mixer("global"), mixer("pooled2")]
    assert values(space, mixer("global")) == ("global", "pooled2")
    found, done = moved(space, {mixer("global"): -1})
    assert found.stages[0].mixers == ("pooled2",)
    assert {move.after for move in done if move.effect.dimension.mixer} == {("pooled2",)}
    same = replace(MIXED, stages=(replace(MIXED.stages[0], mixers=("window8", "global")), *MIXED.stages[1:]))
    assert not [dimension for dimension in dimensions(same) if dimension.mixer]


def test_one_mixer_stays():
    found, _ = moved(MIXED, {mixer(name): -1 for name in ("global", "window4", "pooled2")})
    assert len(found.stages[0].mixers) == 1


def test_the_cheap_mixer_stays_where_the_limit_needs_it():
    for name in ("window4", "pooled2"):
        only = replace(MIXED, stages=(replace(MIXED.stages[0], mixers=("global", name)), *MIXED.stages[1:]))
        share = macs(only.narrowest().arch) / macs(only.widest().arch)
        found, done = moved(only, {mixer(name): -1}, share=1.0001 * share)
        assert found == only
        assert any("without it no subnet" in move.why for move in done)


def test_the_mixer_that_the_limit_needs_stays_though_another_has_fewer_macs():
    """Windows that save MACs and take time, as on some runtimes: `global` alone is within the limit."""
    only = replace(MIXED, stages=(replace(MIXED.stages[0], mixers=("global", "window4")), *MIXED.stages[1:]))

    def ms(archs):
        return np.array([1 + sum(b.mixer == "window4" for s in a.stages for b in s.blocks) for a in archs], float)

    limits = CostLimits((CostLimit(CostKind("latency", "ms", ms), 1.5),))
    asked = [effect(only, dimension, -1 if dimension == mixer("global") else 0, 0.01) for dimension in dimensions(only)]
    found, done = moves(only, asked, Bounded(limits, 10 * macs(only.widest().arch)))
    assert found == only
    assert any("without it no subnet" in move.why for move in done)


def test_multiples_of_8_stay_so():
    space = MINI
    for _ in range(3):
        space, _ = moved(space, {Dimension("hidden", stage): 1 for stage in (1, 2, 3)})
    assert all(size % 8 == 0 for stage in space.stages for size in stage.hidden)
    assert space.stages[0].hidden == (48, 40, 32)  # the largest first, as it was


def test_the_surest_gain_comes_first():
    """Where the space may grow by one of two steps alone."""
    asked = {Dimension("hidden", 1): 0.005, Dimension("hidden", 2): 0.05}
    found = [
        replace(effect(MINI, dimension, 1, asked[dimension])) if dimension in asked else effect(MINI, dimension, 0)
        for dimension in dimensions(MINI)
    ]
    with_one = moves(MINI, found[:-1], bounded(MINI))[0]
    limit = bounded(MINI, growth=1.0)
    one_step = replace(MINI.stages[1], hidden=(64, 48, 32))
    grown = replace(MINI, stages=(MINI.stages[0], one_step, MINI.stages[2]))
    limit = replace(limit, most_macs=macs(grown.widest().arch))
    space, _ = moves(MINI, found, limit)
    assert values(with_one, Dimension("hidden", 1)) == (16, 24, 32)
    assert values(space, Dimension("hidden", 2)) == (32, 48, 64)
    assert values(space, Dimension("hidden", 1)) == (16, 24)
