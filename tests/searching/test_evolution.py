"""How long new subnets are looked for where there are few."""

from __future__ import annotations

import numpy as np
from support.every_subnet import every_subnet
from support.mini_space import EIGHT

from resnas_deploy.searching.candidate import canonical
from resnas_deploy.searching.costs import CostLimits
from resnas_deploy.searching.evolution import Evolution, propose
from resnas_deploy.searching.first_subnets import FirstSubnets


def test_a_small_space_is_seen_whole_and_then_left(monkeypatch):
    draw, tries = FirstSubnets.draw, []

    def counted(self, count):
        tries.append(count)
        return draw(self, count)

    monkeypatch.setattr(FirstSubnets, "draw", counted)
    found = propose(EIGHT, CostLimits(()), Evolution(first=500), [], np.random.default_rng(0))
    assert set(found) == {canonical(subnet, EIGHT.widest()) for subnet in every_subnet(EIGHT)}
    assert sum(tries) <= 50 * 8, "not 200 for each of the 500 that were asked for"
