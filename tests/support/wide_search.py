"""A search that costs nothing: its pool likes wide networks."""

from __future__ import annotations

import numpy as np
from support.small_data import SPACE

from resnas_deploy.arch.cost import macs
from resnas_deploy.searching.candidate import Score
from resnas_deploy.searching.costs import CostLimit, CostLimits, macs_cost
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.iterations import SearchProblem, iterate
from resnas_deploy.searching.store import SearchStore

TOTAL = 1000
EVOLUTION = Evolution(iterations=4, first=30, mutated=10, crossed=10, parents=8)


class Wide:
    """A pool that likes wide networks: more MACs, more right; counts what it is asked."""

    def __init__(self, stop_after=10**9):
        self.asked = []
        self.targets = []
        self._left = stop_after

    def scores(self, subnets, target):
        found = []
        for subnet in subnets:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            self.asked.append(subnet)
            found.append(Score(round(TOTAL * macs(subnet.arch) / macs(SPACE.widest().arch)), TOTAL))
        self.targets.append(target)
        return found


def middle():
    """MACs, in G, between the narrowest and the widest."""
    return float(np.mean(macs_cost().of([SPACE.narrowest().arch, SPACE.widest().arch])))


def search(**changes):
    limits = CostLimits((CostLimit(macs_cost(), middle()),))
    usual = {
        "space": SPACE,
        "supernet": "digest",
        "data": "stripes",
        "held_out": TOTAL,
        "limits": limits,
        "costs": (macs_cost(),),
        "evolution": EVOLUTION,
        "seed": 0,
    }
    return SearchProblem(**usual | changes)


def searched(path, wanted, pool):
    with SearchStore(path, wanted.identity) as store:
        return iterate(wanted, store, pool)
