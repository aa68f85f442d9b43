"""Choices of a space: as numbers, as short texts, and how they go with something else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.mini_space import MINI
from support.small_spaces import TWO_STAGES

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.searching.choices import (
    Choice,
    Encoding,
    choices,
    in_short,
    one_by_one,
    rank_correlation,
    taken,
)

RNG = np.random.default_rng(0)
SUBNETS = [MINI.sample(RNG) for _ in range(60)]


def decoded(text, values):
    """What architecture.js does."""
    letters = iter(text)
    order = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

    def place(letter):
        return order.index(letter) if letter in order else len(order) + ord(letter) - 0x4E00

    return [found[place(next(letters))] if len(found) > 1 else found[0] for found in values.values()]


def test_every_number_of_a_subnet_is_a_choice():
    subnet = SUBNETS[0]
    found = dict(zip(choices(subnet), taken(subnet), strict=True))
    assert len(found) == 2 + 3 * (1 + 5 * 4)
    assert found[Choice("width", 2)] == subnet.full.stages[1].width
    assert found[Choice("hidden", 3, 4)] == subnet.full.stages[2].blocks[3].hidden
    assert found[Choice("kept", 1, 2)] == int(subnet.kept[0][1])
    assert str(Choice("hidden", 3, 4)) == "stage 3, block 4: hidden"
    assert str(Choice("stem width")) == "stem width"


def test_short_texts_hold_all_of_it():
    found = Encoding.of(SUBNETS)
    assert [decoded(text, found.values) for text in found.texts] == [taken(subnet) for subnet in SUBNETS]
    varied = sum(len(values) > 1 for values in found.values.values())
    assert {len(text) for text in found.texts} == {varied}


def test_more_values_than_letters():
    wide = [replace(SUBNETS[0].full.stages[0], width=width) for width in range(8, 8 + 90)]
    last = [replace(stage, width=200) for stage in SUBNETS[0].full.stages[1:]]
    subnets = [Subnet(replace(SUBNETS[0].full, stages=(stage, *last)), SUBNETS[0].kept) for stage in wide]
    found = Encoding.of(subnets)
    assert [decoded(text, found.values) for text in found.texts] == [taken(subnet) for subnet in subnets]
    assert len(set(found.texts)) == 90


def test_of_none_and_of_one():
    assert Encoding.of([]).texts == ()
    assert one_by_one([]) == in_short([]) == {}
    assert Encoding.of(SUBNETS[:1]).texts == ("",)


def test_mixers_are_names_in_texts_and_numbers_of_their_own_in_correlations():
    subnets = [TWO_STAGES.sample(np.random.default_rng(seed)) for seed in range(40)]
    blocks = [subnet.full.stages[0].blocks[1] for subnet in subnets]  # which is never dropped
    encoded = Encoding.of(subnets)
    assert encoded.values[Choice("mixer", 1, 2)] == ("global", "pooled2", "window2")
    assert [decoded(text, encoded.values) for text in encoded.texts] == [taken(subnet) for subnet in subnets]
    each, short = one_by_one(subnets), in_short(subnets)
    for mixer in ("global", "pooled2", "window2"):
        assert each[f"stage 1, block 2: {mixer}"].tolist() == [block.mixer == mixer for block in blocks]
        own = [[block.mixer == mixer for block in subnet.arch.stages[0].blocks] for subnet in subnets]
        assert short[f"stage 1: {mixer}, share of its blocks"].tolist() == [np.mean(found) for found in own]
    assert not any("window2" in name for name in short if name.startswith("stage 2"))


def test_a_mixer_that_is_global_on_its_grid_is_called_so():
    covering = replace(TWO_STAGES, stages=(replace(TWO_STAGES.stages[0], mixers=("window4",)), *TWO_STAGES.stages[1:]))
    assert "stage 1: global, share of its blocks" in in_short([covering.widest()])


def test_what_a_dropped_block_would_have_does_not_count():
    found = one_by_one(SUBNETS)
    kept = found["stage 1, block 2: kept"] == 1
    assert 0 < kept.sum() < len(SUBNETS)
    assert np.isnan(found["stage 1, block 2: heads"][~kept]).all()
    assert not np.isnan(found["stage 1, block 2: heads"][kept]).any()


def test_a_stage_in_short():
    found, arch = in_short(SUBNETS), SUBNETS[3].arch
    assert found["stage 2: blocks"][3] == len(arch.stages[1].blocks)
    assert found["stage 2: hidden, mean of its blocks"][3] == np.mean([block.hidden for block in arch.stages[1].blocks])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 400], 1),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1),
        ([1, 2, 3, 4], [1, 3, 2, 4], 1 - 6 * 2 / (4 * 15)),
        ([1, 2, 3, np.nan], [3, 2, 1, 4], -1),
        ([1, 1, 1, 1], [1, 2, 3, 4], None),
        ([1, 2, np.nan, np.nan], [1, 2, 3, 4], None),
    ],
)
def test_rank_correlations_by_hand(first, second, expected):
    found = rank_correlation(np.array(first, float), np.array(second, float))
    assert found == (None if expected is None else pytest.approx(expected))
