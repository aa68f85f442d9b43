"""Networks of equal MACs, and how long they take."""

from __future__ import annotations

import pytest
from evidence import spread

from resnas_deploy.arch.cost import macs


@pytest.mark.parametrize("name", [spread.WIDE, spread.WIDE_TRADED, spread.LARGE, spread.LARGE_TRADED, spread.SMALL])
def test_networks_of_equal_macs_are_different_and_within_the_band(name):
    found = spread.equal(name, 12)
    assert len({arch.fingerprint for arch in found}) == 12
    assert min(map(macs, found)) >= spread.BAND * max(map(macs, found))
    assert spread.equal(name, 5) == found[:5]


def test_where_depth_is_traded_for_width_deep_networks_are_narrow():
    def corner(arch):
        blocks = [block for stage in arch.stages for block in stage.blocks]
        return len(blocks), sum(block.hidden for block in blocks) / len(blocks)

    depths, hidden = zip(*map(corner, spread.equal(spread.WIDE_TRADED, 40)), strict=True)
    assert max(depths) - min(depths) >= 6
    deep = hidden[depths.index(max(depths))]
    assert deep < hidden[depths.index(min(depths))]


def test_each_network_is_timed_twice():
    found = spread.times(spread.equal(spread.WIDE, 2), "ort-cpu", "fp32", 1, 4)
    assert [len(each) for each in found] == [2, 2]
    assert all(ms > 0 for each in found for ms in each)
