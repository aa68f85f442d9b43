"""How far predictions are from what was measured: of the model, of lines through MACs and parameters, and the noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.measuring.latency.regression import Regression, Values
from resnas_deploy.measuring.latency.store import Sampled


@dataclass(frozen=True)
class PredictorErrors:
    """How far a predictor is from what was measured. Errors are relative: 0.02 is 2 per cent."""

    predictor: str
    mape: float  # mean absolute relative error
    worst: float
    spearman: float
    kendall: float


@dataclass(frozen=True)
class Deviations:
    """Held-out networks, what was predicted for each, and what was measured, in milliseconds a batch."""

    networks: tuple[str, ...]  # fingerprints
    measured_ms: tuple[float, ...]
    predicted_ms: tuple[float, ...]
    low_ms: tuple[float, ...]  # the predicted interval
    high_ms: tuple[float, ...]
    by_macs_ms: tuple[float, ...]
    accuracies: tuple[PredictorErrors, ...]  # of the model, of MACs, of parameters
    inside: float  # share of the networks whose latency lay within the predicted interval
    noise: PredictorErrors  # of one measurement, taken as a prediction of the other


def deviations_of(
    model: Regression, profiled: Sequence[Sampled], first: Sequence[Sampled], second: Sequence[Sampled]
) -> Deviations:
    """Compare the model's predictions with the networks of two measurements, which must be of the same networks.

    MACs and parameters predict by a line that is fitted on the same profile as the model.
    """
    again = {item.arch: item.ratio for item in second}
    archs = [item.arch for item in first]
    once, twice = np.array([item.ratio for item in first]), np.array([again[arch] for arch in archs])
    measured = np.sqrt(once * twice) * model.anchor_ms
    predicted = model.predict(archs)
    by_macs = _line(macs, profiled, archs) * model.anchor_ms
    by_parameters = _line(parameters, profiled, archs) * model.anchor_ms
    inside = float(np.mean((predicted.low <= measured) & (measured <= predicted.high)))
    return Deviations(
        networks=tuple(arch.fingerprint for arch in archs),
        measured_ms=tuple(measured.tolist()),
        predicted_ms=tuple(predicted.ms.tolist()),
        low_ms=tuple(predicted.low.tolist()),
        high_ms=tuple(predicted.high.tolist()),
        by_macs_ms=tuple(by_macs.tolist()),
        accuracies=(
            errors_of("latency model", predicted.ms, measured),
            errors_of("MACs", by_macs, measured),
            errors_of("parameters", by_parameters, measured),
        ),
        inside=inside,
        noise=errors_of("measured again", twice, once),
    )


def errors_of(predictor: str, predicted: Values, measured: Values) -> PredictorErrors:
    """Return the errors of predictions, and how well they rank: the correlation of equal values, not defined, is 0."""
    errors = np.abs(predicted / measured - 1)
    ranks = bool(np.ptp(predicted) and np.ptp(measured))
    return PredictorErrors(
        predictor,
        mape=float(errors.mean()),
        worst=float(errors.max()),
        spearman=float(stats.spearmanr(predicted, measured).statistic) if ranks else 0.0,
        kendall=float(stats.kendalltau(predicted, measured).statistic) if ranks else 0.0,
    )


def _line(cost: Callable[[ArchSpec], int], profiled: Sequence[Sampled], archs: Sequence[ArchSpec]) -> Values:
    """Return ratios by a line through `cost`, of least squared relative error on the profiled networks."""

    def terms(networks: Sequence[ArchSpec]) -> Values:
        return np.array([(1, cost(arch) / 1e6) for arch in networks])

    ratios = np.array([item.ratio for item in profiled])
    weights, *_ = np.linalg.lstsq(
        terms([item.arch for item in profiled]) / ratios[:, None], np.ones(len(ratios)), rcond=None
    )
    return np.asarray(terms(archs) @ weights, dtype=np.float64)
