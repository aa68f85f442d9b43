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

    def scores(self, subnets, target, *told):
        found = []
        for subnet in subnets:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            self.asked.append(subnet)
            found.append(Score(round(TOTAL * macs(subnet.arch) / macs(SPACE.widest().arch)), TOTAL))
        self.targets.append(target)
        return found


class Lucky(Wide):
    """Likes what `quality` is high of (0 to 1), on images some of which are hard; each subnet is lucky with some."""

    def __init__(self, stop_after=10**9, quality=lambda subnet: macs(subnet.arch) / macs(SPACE.widest().arch)):
        super().__init__(stop_after)
        self._quality = quality
        self._hard = np.random.default_rng(0).random(TOTAL)

    def scores(self, subnets, target, *told):
        super().scores(subnets, target, *told)
        return [self._score(self._quality(subnet)) for subnet in subnets]

    def _score(self, quality):
        luck = np.random.default_rng(round(1e9 * quality)).normal(0, 0.05, TOTAL)
        return Score(int((self._hard + luck < quality).sum()), TOTAL)


def late(subnet):
    """A quality that the widest subnet is not best at: few channels first, many last, no block dropped."""
    first, _, last = subnet.full.stages
    heads = [block.heads for block in last.blocks]
    kept = sum(flag for flags in subnet.kept for flag in flags)
    return 0.3 + 0.02 * (8 - first.width) + 0.03 * (last.width - 14) + 0.03 * sum(heads) + 0.04 * kept


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
