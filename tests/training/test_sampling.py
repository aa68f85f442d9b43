"""Which subnets the groups of a batch train."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.mini_space import MINI
from support.small_data import CLASSES, RECIPE, SIDE, run
from support.small_spaces import SPACES, TWO_STAGES, spaces

from resnas_deploy.training.sampling import draw_groups, mixed_of, open_choices, open_flags, survival_of


def answers(space, subnet):
    """What a subnet takes at each question of its space, flags of fixed blocks left out."""
    yield space.stem_mid_widths, subnet.full.stem_mid_width
    stages = zip(space.stages, space.mixers_by_cost, subnet.full.stages, subnet.kept, strict=True)
    for stage, mixers, own, kept in stages:
        yield stage.widths, own.width
        for block in own.blocks:
            yield stage.heads, block.heads
            yield stage.head_dims, block.head_dim
            yield stage.hidden, block.hidden
            yield mixers, block.mixer
        yield from (((True, False), kept[position - 1]) for position in stage.droppable[:1])  # no other drops it too


@given(st.one_of(st.sampled_from([MINI, *SPACES]), spaces()), st.integers(1, 20), st.floats(0, 1), st.integers(0, 99))
def test_every_open_choice_is_taken_equally_often_give_or_take_one(space, count, opened, seed):
    drawn = draw_groups(space, count, np.random.default_rng(seed), opened)
    assert len(drawn) == count
    for question in zip(*(answers(space, subnet) for subnet in drawn), strict=True):
        choices, found = question[0][0], Counter(value for _, value in question)
        if choices == (True, False):
            kept = sum(open_flags(opened)) / len(open_flags(opened))
            assert found[True] in (math.floor(count * kept), math.ceil(count * kept))
        else:
            among = open_choices(choices, opened)
            assert set(found) <= set(among)
            assert max(found.values()) - min(found[choice] for choice in among) <= 1


@given(st.integers(1, 9), st.integers(0, 99), st.data())
def test_a_process_draws_its_groups_among_those_of_all(count, seed, data):
    first = data.draw(st.integers(0, count - 1))
    own = range(first, data.draw(st.integers(first + 1, count)))
    drawn = [draw_groups(MINI, count, np.random.default_rng(seed), 1.0, groups) for groups in (None, own)]
    assert drawn[1] == drawn[0][own.start : own.stop]


def test_choices_open_from_the_widest_down():
    assert open_choices((3, 5, 4), 0) == [5]
    assert open_choices((3, 5, 4), 0.49) == [5]
    assert open_choices((3, 5, 4), 0.5) == [5, 4]
    assert open_choices((3, 5, 4), 0.99) == [5, 4]
    assert open_choices((3, 5, 4), 1) == [5, 4, 3]


def test_mixers_open_from_the_dearest_down():
    shares = {0.0: {"global"}, 0.5: {"global", "window2"}, 1.0: {"global", "pooled2", "window2"}}
    for opened, expected in shares.items():
        drawn = draw_groups(TWO_STAGES, 12, np.random.default_rng(0), opened)
        assert {block.mixer for subnet in drawn for block in subnet.full.stages[0].blocks} == expected


@pytest.mark.parametrize("count", range(1, 9))
def test_choices_open_at_the_papers_epochs(count):
    for epoch in range(31):
        opened = open_choices(range(count), epoch / 30)
        assert len(opened) == 1 + epoch * (count - 1) // 30, epoch


@pytest.mark.parametrize(("epoch", "share"), [(0, 0), (19, 0), (20, 1 / 3), (29, 1 / 3), (30, 1 / 2)])
@pytest.mark.parametrize("groups", [1, 2, 16])
def test_blocks_are_dropped_at_the_papers_epochs_and_evenly(epoch, share, groups):
    rng = np.random.default_rng(5)
    drawn = [draw_groups(MINI, groups, rng, epoch / 30) for _ in range(1200 // groups)]
    dropped = [sum(not subnet.kept[0][1] for subnet in step) for step in drawn]  # position 2 is droppable
    assert set(dropped) <= {math.floor(groups * share), math.ceil(groups * share)}
    assert abs(sum(dropped) / groups / len(drawn) - share) < 0.06


@pytest.mark.parametrize("space", [MINI, *SPACES], ids=lambda space: space.name)
def test_groups_are_subnets_of_the_space(space):
    for opened in (0, 0.5, 1):
        groups = draw_groups(space, 5, np.random.default_rng(0), opened)
        assert all(space.contains(subnet) for subnet in groups)
        if not opened:
            assert set(groups) == {space.widest()}


def test_dimensions_are_drawn_independently_and_evenly():
    rng = np.random.default_rng(0)
    drawn = [subnet for _ in range(1500) for subnet in draw_groups(MINI, 4, rng)]
    blocks = [subnet.full.stages[0].blocks for subnet in drawn]
    for position in range(4):
        shares = Counter(own[position].hidden for own in blocks)
        assert all(abs(count / len(drawn) - 1 / 3) < 0.03 for count in shares.values())
    same = np.mean([own[0].hidden == own[1].hidden for own in blocks])
    assert abs(same - 1 / 3) < 0.04  # two layers have nothing to do with each other
    dropped = np.mean([not subnet.kept[0][1] for subnet in drawn])
    assert abs(dropped - 0.5) < 0.03


def test_the_same_seed_draws_the_same():
    one, two = (draw_groups(MINI, 4, np.random.default_rng(7)) for _ in range(2))
    assert one == two
    assert draw_groups(MINI, 4, np.random.default_rng(8)) != one


@pytest.mark.parametrize("changes", [{}, {"erasing": 0.0}, {"mixing": False}], ids=str)
def test_what_is_mixed_does_not_depend_on_how_the_groups_are_shared_out(tmp_path, changes):
    training = run(tmp_path, recipe=replace(RECIPE, **({"batch": 12, "group": 3, "erasing": 0.5} | changes)))
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(12, 3, SIDE, SIDE, generator=rng)
    labels = torch.randint(0, CLASSES, (12,), generator=rng)
    whole = mixed_of(training, 3, range(4), images, labels)
    parts = [
        mixed_of(training, 3, groups, images[own], labels[own])
        for groups, own in ((range(1), slice(0, 3)), (range(1, 4), slice(3, 12)))
    ]
    for name in ("images", "target", "patch_targets"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts])), name
    assert not torch.equal(whole.images, mixed_of(training, 4, range(4), images, labels).images)


def test_what_survives_does_not_depend_on_the_processes(tmp_path):
    of = run(tmp_path, recipe=replace(RECIPE, drop_path=0.5))
    whole = survival_of(of, 3, range(2))
    assert torch.equal(torch.cat([survival_of(of, 3, range(group, group + 1)) for group in range(2)], dim=1), whole)
    assert not torch.equal(whole, survival_of(of, 4, range(2)))
    assert survival_of(run(tmp_path, recipe=replace(RECIPE, drop_path=0.0)), 3, range(2)) is None
