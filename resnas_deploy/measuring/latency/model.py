"""The latency model: what the networks of one space take in one setting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.regression import PredictedTimes, Regression
from resnas_deploy.measuring.latency.setup import Setting, Setup


@dataclass(frozen=True)
class LatencyModel:
    """Predicts the networks of a space for one machine, runner, precision, batch size and number of threads."""

    space: SearchSpace
    setup: Setup  # how they were run
    setting: Setting  # that setup on the machine that was measured
    regression: Regression

    def predict(self, archs: Sequence[ArchSpec]) -> PredictedTimes:
        """Return the latency of each network in milliseconds a batch, with the interval that holds 95% of networks.

        Raise `BadInput` for a network that is not of the space.
        """
        for arch in archs:
            if not self.space.holds(arch):
                raise BadInput(
                    f"{arch.fingerprint} must be a network of the space {self.space.name}, found another; "
                    "profile its own space, or measure it by `bench()`"
                )
        return self.regression.predict(archs)

    @property
    def identity(self) -> str:
        """Return what tells this model from others."""
        return json.dumps([asdict(self.setting), self.regression.weights, self.regression.anchor_ms])
