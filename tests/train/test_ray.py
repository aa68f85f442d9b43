"""Candidates are scored by a local Ray cluster, and a worker that is killed costs nothing but time."""

from __future__ import annotations

import os
import signal
import warnings

import numpy as np
import pytest
from small_data import SPACE

from resnas_deploy.cost import macs
from resnas_deploy.train.search.candidate import Score
from resnas_deploy.train.search.pool import opened_pool

pytest.importorskip("ray")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_killed_worker_is_replaced(tmp_path):
    marker = tmp_path / "killed"

    class Fragile:
        """Scores by MACs; the first worker that is asked for a sixth subnet kills itself."""

        def __init__(self):
            self.asked = 0

        def scores(self, subnets, target):
            del target
            self.asked += len(subnets)
            if self.asked > 5:
                try:
                    marker.touch(exist_ok=False)
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            return [Score(macs(subnet.arch), 10**9) for subnet in subnets]

    rng = np.random.default_rng(0)
    subnets = [SPACE.sample(rng) for _ in range(40)]
    with warnings.catch_warnings(), opened_pool("ray", Fragile) as pool:
        found = pool.scores(subnets, None)
    assert marker.exists()
    assert [score.correct for score in found] == [macs(subnet.arch) for subnet in subnets]
