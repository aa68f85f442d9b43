"""The latency model's regression: not negative, on a network's structure, relative to an anchor network's time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.bounds import MEDIAN, Runs, factor_within, typical_tail
from resnas_deploy.measuring.latency.features import Terms

FOLDS = 10  # of the cross-validation
COVERED = 0.95  # of networks whose latency lies within the interval
_A_TERM = 3  # networks that a fit needs of each term: with fewer, it follows their noise

Values = NDArray[np.float64]


@dataclass(frozen=True)
class PredictedTimes:
    """Milliseconds a batch, of each network: `(networks,)`. Between `low` and `high` lie `COVERED` of them."""

    ms: Values
    low: Values
    high: Values


@dataclass(frozen=True)
class Regression:
    """Predicts networks of one space in one setting."""

    weights: tuple[float, ...]  # of the terms, in the anchor's time
    anchor_ms: float  # the anchor's median time while the networks were measured
    mape: float  # mean absolute relative error on networks held out
    spread: float  # of the logarithm of predicted over measured, on networks held out: half the interval
    networks: int  # that were measured
    terms: Terms
    errors: tuple[float, ...] = ()  # of networks held out: the logarithm of measured over predicted
    runs: Runs = field(default=(), repr=False)  # seconds, of each network

    def predict(self, archs: Sequence[ArchSpec]) -> PredictedTimes:
        """Return the latency of each network."""
        ms = self.anchor_ms * (self.terms.of(archs).reshape(-1, len(self.weights)) @ np.array(self.weights))
        return PredictedTimes(ms, ms * math.exp(-self.spread), ms * math.exp(self.spread))

    def tail(self, percentile: str) -> float:
        """Return what a percentile of a network's runs is over what `predict` says, as it is most often."""
        return typical_tail(self.runs, percentile)

    def factor_within(self, confidence: float, percentile: str = MEDIAN) -> float:
        """Return over what `predict` says, what a percentile of a network's runs stays below with that probability.

        Raise `BadInput` where too little was measured to say so.
        """
        return factor_within(self.errors, self.runs, confidence, percentile)


def least_networks(terms: Terms) -> int:
    """Return how many networks a fit of those terms needs."""
    return _A_TERM * len(terms.names)


def fit(
    archs: Sequence[ArchSpec], ratios: Sequence[float], anchor_ms: float, rng: np.random.Generator, runs: Runs = ()
) -> Regression:
    """Fit measured networks; `ratios` are their times over the anchor's, `runs` all times. Raise `BadInput` for few."""
    terms = Terms.among(archs)
    if len(archs) < (least := least_networks(terms)):
        raise BadInput(f"a latency model needs at least {least} measured networks, found {len(archs)}; profile more")
    rows, measured = terms.of(archs), np.array(ratios)
    predicted = predict_held_out(rows, measured, rng)
    signed = np.log(measured / predicted)
    errors = np.abs(signed)
    rank = min(len(errors), math.ceil((len(errors) + 1) * COVERED))  # as split conformal prediction takes it
    return Regression(
        weights=tuple(regress(rows, measured)),
        anchor_ms=anchor_ms,
        mape=float(np.mean(np.abs(predicted / measured - 1))),
        spread=float(np.sort(errors)[rank - 1]),
        networks=len(archs),
        terms=terms,
        errors=tuple(signed.tolist()),
        runs=runs,
    )


def predict_held_out(terms: Values, measured: Values, rng: np.random.Generator) -> Values:
    """Return what a fit without a network predicts for it, by cross-validation: `(networks,)`."""
    predicted = np.empty(len(measured))
    folds = rng.permutation(len(measured)) % min(FOLDS, len(measured))
    for fold in np.unique(folds):
        inside = folds == fold
        predicted[inside] = terms[inside] @ regress(terms[~inside], measured[~inside])
    return predicted


def regress(terms: Values, measured: Values) -> Values:
    """Return the weights, none negative, of the least squared relative error: `(terms,)`.

    More work never takes less time: without that condition the noise of terms that go together makes some negative, and
    the model wrong at the edge of the space.
    """
    scale = terms.mean(axis=0)
    scale[scale == 0] = 1
    weights, _ = nnls(terms / scale / measured[:, None], np.ones(len(measured)))
    return np.asarray(weights / scale, dtype=np.float64)
