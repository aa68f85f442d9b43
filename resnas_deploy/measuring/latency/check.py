"""How well the latency model predicts networks that it has not seen, beside MACs, parameters, and the noise itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, ResnasError
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import CHECK, PROFILE, Profiler, stored_model, subnets
from resnas_deploy.measuring.latency.regression import Regression, Values
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import LatencyStore, Sampled
from resnas_deploy.measuring.machine.conditions import watch
from resnas_deploy.measuring.machine.description import Machine, this_machine
from resnas_deploy.measuring.plots import COLOURS, new_figure, write_figure
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import usable_cores

SCHEMA = 1


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
    by_macs_ms: tuple[float, ...]
    accuracies: tuple[PredictorErrors, ...]  # of the model, of MACs, of parameters
    inside: float  # share of the networks whose latency lay within the predicted interval
    noise: PredictorErrors  # of one measurement, taken as a prediction of the other


@dataclass(frozen=True)
class LatencyCheck:
    """A latency model beside networks that its profile has not seen."""

    model: LatencyModel
    machine: Machine
    deviations: Deviations
    notes: tuple[str, ...] = ()  # what disturbed the measurement
    unsaved: ResnasError | None = None  # why the store has not got all of it

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "schema": SCHEMA,
            "machine": self.machine.to_json(),
            "setting": asdict(self.model.setting),
            "space": self.model.space.name,
            "profiled": self.model.regression.networks,
            **asdict(self.deviations),
        }

    def plot(self, path: str | Path, *, replace: bool = True) -> None:
        """Draw predicted against measured milliseconds, by the model and by a line through MACs: .png, .svg, .html."""
        setting, found = self.model.setting, self.deviations
        figure, (model, line) = new_figure(2)
        for axis, predicted, errors in (
            (model, found.predicted_ms, found.accuracies[0]),
            (line, found.by_macs_ms, found.accuracies[1]),
        ):
            ends = (min(*found.measured_ms, *predicted), max(*found.measured_ms, *predicted))
            axis.plot(ends, ends, color="#888888", linewidth=1)
            axis.plot(found.measured_ms, predicted, "o", color=COLOURS[0], markersize=4)
            title = f"{errors.predictor}: MAPE {errors.mape:.1%}, Spearman {errors.spearman:.3f}"
            axis.set(title=title, xlabel="measured ms", ylabel="predicted ms")
            axis.grid(alpha=0.3)
        figure.suptitle(
            f"{len(found.networks)} networks held out, {setting.runner}, {setting.precision}, batch {setting.batch}; "
            f"measured again: MAPE {found.noise.mape:.1%}",
            fontsize="small",
        )
        rows = zip(found.networks, found.measured_ms, found.predicted_ms, strict=True)
        table = [(name, f"{measured:.2f}", f"{predicted:.2f}") for name, measured, predicted in rows]
        whole = [("network", "measured ms", "predicted ms"), *table]
        write_figure(figure, Path(path), "Predicted and measured latency", whole, replace=replace)


def check(space: SearchSpace, setup: Setup, store: Path, count: int, progress: Progress = silent) -> LatencyCheck:
    """Measure so many random networks that the profile has not seen, twice, and compare with what is predicted.

    What cannot be kept is in the result all the same. Raise `BadInput` where nothing was profiled.
    """
    if count < 2:
        raise BadInput(f"`subnets` must be 2 or more, found {count}")
    stored_model(space, setup, store)  # which makes no file where there is none
    with LatencyStore(store) as opened:
        profiler = Profiler(opened, space, setup, setup.setting())
        model, profiled = profiler.model(), profiler.kept(PROFILE)
        wanted = subnets(space, CHECK, count, without=[item.arch for item in profiled])
        since = watch()
        with opened.measuring():
            first, second = (_measured(profiler, wanted, repeat, progress) for repeat in (0, 1))
        notes = tuple(since().throttled())
    return LatencyCheck(
        model,
        this_machine(usable_cores()),
        deviations_of(model.regression, profiled, first.networks, second.networks),
        notes,
        first.unsaved or second.unsaved,
    )


@dataclass(frozen=True)
class _Measured:
    networks: list[Sampled]
    unsaved: ResnasError | None


def _measured(profiler: Profiler, wanted: Sequence[ArchSpec], repeat: int, progress: Progress) -> _Measured:
    lost = [group for group in profiler.measure(wanted, CHECK, repeat, progress) if group.unsaved]
    asked = set(wanted)
    kept = [item for item in profiler.kept(CHECK, repeat) if item.arch in asked]
    kept += [item for group in lost for item in group.networks]
    return _Measured(kept, lost[0].unsaved if lost else None)


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
