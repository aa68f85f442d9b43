"""How well the latency model predicts networks that it has not seen, beside MACs, parameters, and the noise itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.measuring.latency.model import LatencyModel, Values
from resnas_deploy.measuring.latency.store import Sampled, Setting
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.plots import COLOURS, new_figure, write_figure

SCHEMA = 1


@dataclass(frozen=True)
class Accuracy:
    """How far predictions are from measurements. Errors are relative: 0.02 is 2 per cent."""

    predictor: str
    mape: float  # mean absolute relative error
    worst: float
    spearman: float
    kendall: float


@dataclass(frozen=True)
class Check:
    """Held-out networks, what was predicted for each, and what was measured, in milliseconds a batch."""

    networks: tuple[str, ...]  # fingerprints
    measured_ms: tuple[float, ...]
    predicted_ms: tuple[float, ...]
    by_macs_ms: tuple[float, ...]
    accuracies: tuple[Accuracy, ...]  # of the model, of MACs, of parameters
    inside: float  # share of the networks whose latency lay within the predicted interval
    noise: Accuracy  # of one measurement, taken as a prediction of the other


def check(
    model: LatencyModel, profiled: Sequence[Sampled], first: Sequence[Sampled], second: Sequence[Sampled]
) -> Check:
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
    return Check(
        networks=tuple(arch.fingerprint for arch in archs),
        measured_ms=tuple(measured.tolist()),
        predicted_ms=tuple(predicted.ms.tolist()),
        by_macs_ms=tuple(by_macs.tolist()),
        accuracies=(
            accuracy("latency model", predicted.ms, measured),
            accuracy("MACs", by_macs, measured),
            accuracy("parameters", by_parameters, measured),
        ),
        inside=inside,
        noise=accuracy("measured again", twice, once),
    )


def document_of(setting: Setting, space: str, machine: Machine, model: LatencyModel, found: Check) -> dict[str, object]:
    """Plain data for JSON, with the machine."""
    return {
        "schema": SCHEMA,
        "machine": machine.to_json(),
        "setting": asdict(setting),
        "space": space,
        "profiled": model.networks,
        **asdict(found),
    }


def plot_check(check: Check, setting: Setting, path: Path, *, replace: bool = True) -> None:
    """Predicted against measured milliseconds, by the model and by a line through MACs."""
    figure, (model, line) = new_figure(2)
    for axis, predicted, accuracy in (
        (model, check.predicted_ms, check.accuracies[0]),
        (line, check.by_macs_ms, check.accuracies[1]),
    ):
        ends = (min(*check.measured_ms, *predicted), max(*check.measured_ms, *predicted))
        axis.plot(ends, ends, color="#888888", linewidth=1)
        axis.plot(check.measured_ms, predicted, "o", color=COLOURS[0], markersize=4)
        title = f"{accuracy.predictor}: MAPE {accuracy.mape:.1%}, Spearman {accuracy.spearman:.3f}"
        axis.set(title=title, xlabel="measured ms", ylabel="predicted ms")
        axis.grid(alpha=0.3)
    figure.suptitle(
        f"{len(check.networks)} networks held out, {setting.runner}, {setting.precision}, batch {setting.batch}; "
        f"measured again: MAPE {check.noise.mape:.1%}",
        fontsize="small",
    )
    rows = zip(check.networks, check.measured_ms, check.predicted_ms, strict=True)
    table = [(name, f"{measured:.2f}", f"{predicted:.2f}") for name, measured, predicted in rows]
    rows_of_all = [("network", "measured ms", "predicted ms"), *table]
    write_figure(figure, path, "Predicted and measured latency", rows_of_all, replace=replace)


def accuracy(predictor: str, predicted: Values, measured: Values) -> Accuracy:
    """The error of predictions, and how well they rank: a correlation that is not defined, of equal values, is 0."""
    errors = np.abs(predicted / measured - 1)
    ranks = bool(np.ptp(predicted) and np.ptp(measured))
    return Accuracy(
        predictor,
        mape=float(errors.mean()),
        worst=float(errors.max()),
        spearman=float(stats.spearmanr(predicted, measured).statistic) if ranks else 0.0,
        kendall=float(stats.kendalltau(predicted, measured).statistic) if ranks else 0.0,
    )


def _line(cost: Callable[[ArchSpec], int], profiled: Sequence[Sampled], archs: Sequence[ArchSpec]) -> Values:
    """Ratios by a line through `cost`, of least squared relative error on the profiled networks."""

    def terms(networks: Sequence[ArchSpec]) -> Values:
        return np.array([(1, cost(arch) / 1e6) for arch in networks])

    ratios = np.array([item.ratio for item in profiled])
    weights, *_ = np.linalg.lstsq(
        terms([item.arch for item in profiled]) / ratios[:, None], np.ones(len(ratios)), rcond=None
    )
    return np.asarray(terms(archs) @ weights, dtype=np.float64)
