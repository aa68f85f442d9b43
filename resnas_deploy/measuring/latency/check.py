"""How well the latency model predicts networks that it has not seen, beside MACs, parameters, and the noise itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, ResnasError
from resnas_deploy.measuring.latency.deviations import Deviations, deviations_of
from resnas_deploy.measuring.latency.deviations_plot import plot_deviations
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import CHECK, PROFILE, Profiler, stored_model, subnets
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import LatencyStore, Sampled
from resnas_deploy.measuring.machine.conditions import watch
from resnas_deploy.measuring.machine.description import Machine, this_machine
from resnas_deploy.progress import Progress, headed, silent
from resnas_deploy.runners.base import usable_cores

SCHEMA = 1


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
        plot_deviations(self.deviations, self.model.setting, Path(path), replace=replace)


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
            first, second = (
                _measured(profiler, wanted, repeat, headed(f"time {repeat + 1} of 2, ", progress)) for repeat in (0, 1)
            )
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
