"""Profiling a search space: measuring enough of its networks for a latency model, and each of them once."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, ResnasError, called, first_few
from resnas_deploy.measuring.latency.anchored import anchor_of, groups, measure_group
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.regression import Regression, fit, least_networks
from resnas_deploy.measuring.latency.setup import Setting, Setup
from resnas_deploy.measuring.latency.store import LatencyStore, Profiled, Sampled, usual_store
from resnas_deploy.measuring.machine.conditions import watch
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.timing import ROUNDS
from resnas_deploy.progress import Progress, silent, within
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.weights.space_files import naming

PROFILE, CHECK = "profile", "check"  # purposes: what a model is fitted on, and what it is checked on
NETWORKS = 120  # that a profile measures: the model's error hardly falls with more (docs/latency.md)
_SEEDS = {PROFILE: 0, CHECK: 1}
_FIT_SEED = 0
_TRIES = 20  # draws for each network that is wanted: spaces are far larger than what is measured of them


@dataclass(frozen=True)
class Profile(LatencyModel):
    """The model of what was measured, and what was measured for it now."""

    measured_now: int  # networks; the others were in the store
    seconds: float
    notes: tuple[str, ...]  # what disturbed the measurement

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "space": self.space.name,
            "setting": asdict(self.setting),
            "networks": self.regression.networks,
            "measured_now": self.measured_now,
            "seconds": self.seconds,
            "anchor_ms": self.regression.anchor_ms,
            "mape": self.regression.mape,
            "interval": self.regression.spread,
        }


@dataclass(frozen=True)
class Group:
    """Networks that were measured together."""

    networks: tuple[Sampled, ...]
    unsaved: ResnasError | None  # why the store has not got them


@dataclass(frozen=True)
class Profiler:
    """Measures networks of a space for a store."""

    store: LatencyStore
    space: SearchSpace
    setup: Setup
    setting: Setting  # that of the setup on this machine

    def measure(
        self, wanted: Sequence[ArchSpec], purpose: str, repeat: int = 0, progress: Progress = silent
    ) -> Iterator[Group]:
        """Measure those of the networks that the store does not have yet, and keep each group as soon as it is.

        A profile needs no more than so many: an earlier version chose others.
        """
        there = {item.arch for item in self.kept(purpose, repeat)}
        missing = [arch for arch in wanted if arch not in there]
        if purpose == PROFILE:
            missing = missing[: max(0, len(wanted) - len(there))]
        done = len(wanted) - len(missing)
        rng = np.random.default_rng()
        for group in groups(missing):
            heading, size = f"{done} of {len(wanted)} networks: ", len(group)
            told = within(done, len(wanted), heading, progress, stage="networks", counts=ROUNDS, size=size)
            measured = tuple(measure_group(self.setup, group, anchor_of(self.space), rng, told))
            unsaved = None
            try:
                self.store.add(self.setting, self.space, purpose, repeat, measured)
            except ResnasError as error:
                unsaved = error
            done += len(group)
            yield Group(measured, unsaved)

    def kept(self, purpose: str, repeat: int = 0) -> list[Sampled]:
        """Return what the store has."""
        return self.store.networks(self.setting, self.space, purpose, repeat)

    def model(self) -> LatencyModel:
        """Return the model of what was profiled. Raise `BadInput` where nothing was, with what there is instead."""
        if measured := self.kept(PROFILE):
            return LatencyModel(self.space, self.setup, self.setting, regression_of(measured))
        place = {} if self.store.path == usual_store() else {"store": self.store.path}
        remedy = called("latency.profile", **naming(self.space), **self.setup.arguments(), **place)
        raise BadInput(
            f"{self.store.path} must hold a profile of the space {self.space.name} on {self.setting}, "
            f"found {self._instead()}; run: {remedy}"
        )

    def _instead(self) -> str:
        """Tell what there is in the place of a profile that there is not: first of all, one of another version."""
        there = self.store.profiled()
        earlier = this_machine(usable_cores()).earlier_slug
        for item in there:
            if (
                item.setting == replace(self.setting, machine=earlier)
                and item.space.fingerprint == self.space.fingerprint
            ):
                return (
                    f"one of {earlier}, as this machine and those with another instruction set were called before "
                    "these were told apart (a search takes it by `latency_of` all the same)"
                )
            same = replace(item.setting, version=self.setting.version) == self.setting
            if same and item.space.fingerprint == self.space.fingerprint:
                return (
                    f"one of {item.setting.version}, not of {self.setting.version}, which is installed here: what it "
                    f"changes is not known before it is measured (a search takes it by `latency_of` all the same)"
                )
        return first_few([self._described(item) for item in there]) or "none"

    def _described(self, item: Profiled) -> str:
        space = item.space.name
        if space == self.space.name and item.space.fingerprint != self.space.fingerprint:
            space = f"another {space} (at {item.space.image_size} pixels)"
        elsewhere = " of another machine" if item.setting.machine != self.setting.machine else ""
        return f"{space} on {item.setting}{elsewhere}"


def check_profile(space: SearchSpace, setup: Setup, networks: int | None) -> None:
    """Raise `BadInput` for a runner that cannot be profiled, and for too few networks."""
    if setup.kind.engine and not setup.kind.compiles:
        raise BadInput(
            f"a profile must be on a runner that opens graphs, found {setup.kind.name}, which would build an engine of "
            "each network for minutes; use another `runner`, or limit MACs, and finalists are measured on it"
        )
    if networks is not None and networks < (least := least_networks(Terms.of_space(space))):
        raise BadInput(f"`networks` must be {least} or more, which a latency model needs, found {networks}")


def profile(
    space: SearchSpace, setup: Setup, store: Path, networks: int | None = None, progress: Progress = silent
) -> Profile:
    """Measure networks of a space, unless the store has them, and fit the model of all that it has.

    Raise `BadInput` and what a store raises that cannot be read or written.
    """
    check_profile(space, setup, networks)
    wanted = subnets(space, PROFILE, networks or NETWORKS)
    started = time.monotonic()
    with LatencyStore(store) as opened, opened.measuring():
        profiler = Profiler(opened, space, setup, setup.setting())
        before, since = len(profiler.kept(PROFILE)), watch()
        for group in profiler.measure(wanted, PROFILE, progress=progress):
            if group.unsaved:
                raise group.unsaved
        notes = tuple(since().throttled())
        model = profiler.model()
    now = model.regression.networks - before
    return Profile(**vars(model), measured_now=now, seconds=time.monotonic() - started, notes=notes)


def stored_model(space: SearchSpace, setup: Setup, store: Path) -> LatencyModel:
    """Return the model of what was profiled before. Raise `BadInput` where nothing was."""
    with LatencyStore(store, create=False) as opened:
        return Profiler(opened, space, setup, setup.setting()).model()


def profiled_batches(space: SearchSpace, setup: Setup, store: Path) -> list[int]:
    """List the batch sizes at which a space was profiled in a setup that is otherwise the same, ascending."""
    wanted = setup.setting()
    with LatencyStore(store, create=False) as opened:
        there = [item.setting for item in opened.profiled() if item.space.fingerprint == space.fingerprint]
    return sorted({item.batch for item in there if item == replace(wanted, batch=item.batch)})


def subnets(space: SearchSpace, purpose: str, count: int, without: Collection[ArchSpec] = ()) -> list[ArchSpec]:
    """Return distinct networks of the space, the same ones every time, and none of `without`.

    They are random; those of a profile begin with the edges of the space, beyond which nothing lies. More of them begin
    with the fewer. Raise `BadInput` where the space has not so many.
    """
    found: dict[ArchSpec, None] = {}
    if purpose == PROFILE:
        found = {space.widest().arch: None, space.narrowest().arch: None}
    rng = np.random.default_rng(_SEEDS[purpose])
    excluded = frozenset(without)
    for _ in range(count * _TRIES):
        if len(found) >= count:
            break
        arch = space.sample(rng).arch
        if arch not in excluded:
            found[arch] = None
    if len(found) < count:
        beside = f" beside {len(excluded)} others" if excluded else ""
        raise BadInput(
            f"the space {space.name} must have {count} networks or more{beside}, found {len(found)}; ask for fewer"
        )
    return list(found)[:count]


def regression_of(measured: Sequence[Sampled]) -> Regression:
    """Fit a profile's networks. Raise `BadInput` for too few."""
    anchor_ms = 1e3 * float(np.median([np.median(item.anchor_s) for item in measured]))
    archs, ratios = [item.arch for item in measured], [item.ratio for item in measured]
    runs = tuple(item.samples_s for item in measured)
    return fit(archs, ratios, anchor_ms, np.random.default_rng(_FIT_SEED), runs)
