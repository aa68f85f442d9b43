"""Profiling a search space: measuring enough of its networks for a latency model, and each of them once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from resnas_deploy.arch import ArchSpec
from resnas_deploy.bench.latency.campaign import Bench, anchor_of, groups, measure_group
from resnas_deploy.bench.latency.model import LatencyModel, fit
from resnas_deploy.bench.latency.store import Sampled, Setting, Store
from resnas_deploy.bench.timing import after
from resnas_deploy.errors import BadInput, first_few
from resnas_deploy.space import SearchSpace

PROFILE, CHECK = "profile", "check"  # purposes: what a model is fitted on, and what it is checked on
NETWORKS = 120  # that a profile measures: the model's error no longer falls with more (docs/latency.md)
_SEEDS = {PROFILE: 0, CHECK: 1}
_FIT_SEED = 0
_TRIES = 20  # draws for each network that is wanted: spaces are far larger than what is measured of them


def subnets(space: SearchSpace, purpose: str, count: int) -> list[ArchSpec]:
    """Distinct random networks of the space, the same ones every time. Raises `BadInput` where it has not so many."""
    found: dict[ArchSpec, None] = {}
    if purpose == PROFILE:  # the edges too, beyond which nothing lies
        found = {space.widest().arch: None, space.narrowest().arch: None}
    rng = np.random.default_rng(_SEEDS[purpose])
    for _ in range(count * _TRIES):
        if len(found) >= count:
            return list(found)[:count]
        found[space.sample(rng).arch] = None
    raise BadInput(f"the space {space.name} must have {count} networks or more, found {len(found)}; ask for fewer")


def measure(
    store: Store,
    setting: Setting,
    space: SearchSpace,
    bench: Bench,
    purpose: str,
    count: int,
    opening: int,
    tell: Callable[[str], None],
) -> list[Sampled]:
    """Measure what the store does not have yet of the first `count` networks; returns them all.

    Each group is kept as soon as it is measured. `opening` tells one whole measurement of the same networks from
    another.
    """
    wanted = subnets(space, purpose, count)
    there = {item.arch for item in store.networks(setting, space.name, purpose, opening)}
    missing = [arch for arch in wanted if arch not in there]
    done = len(wanted) - len(missing)
    rng = np.random.default_rng()
    for group in groups(missing):
        heading = f"{done} of {len(wanted)} networks: "
        measured = measure_group(bench, group, anchor_of(space), rng, after(heading, tell))
        store.add(setting, space.name, purpose, opening, measured)
        done += len(group)
    return [item for item in store.networks(setting, space.name, purpose, opening) if item.arch in set(wanted)]


def model_of(measured: list[Sampled]) -> LatencyModel:
    """The model of a profile's networks."""
    anchor_ms = 1e3 * float(np.median([np.median(item.anchor_s) for item in measured]))
    return fit(
        [item.arch for item in measured],
        [item.ratio for item in measured],
        anchor_ms,
        np.random.default_rng(_FIT_SEED),
    )


def profiled_model(store: Store, setting: Setting, space: SearchSpace) -> LatencyModel:
    """The model of what was profiled. Raises `BadInput` where nothing was, with what there is instead."""
    measured = store.networks(setting, space.name, PROFILE)
    if measured:
        return model_of(measured)
    there = [
        f"{name} on {other.runner} ({other.version}), {other.precision}, batch {other.batch}, {other.threads} threads"
        + (" of another machine" if other.machine != setting.machine else "")
        for other, name, _ in store.settings()
    ]
    raise BadInput(
        f"{store.path} must hold a profile of the space {space.name} on {setting.runner} ({setting.version}), "
        f"{setting.precision}, batch {setting.batch}, {setting.threads} threads, found {first_few(there) or 'none'}; "
        f"run: resnas latency profile --space {space.name} --runner {setting.runner} --batch {setting.batch} "
        f"--precision {setting.precision}"
    )
