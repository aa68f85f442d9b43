"""Profiling a search space: measuring enough of its networks for a latency model, and each of them once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, StorageError, first_few
from resnas_deploy.measuring.latency.campaign import Bench, anchor_of, groups, measure_group
from resnas_deploy.measuring.latency.model import LatencyModel, fit
from resnas_deploy.measuring.latency.store import Sampled, Setting, Store
from resnas_deploy.measuring.timing import after

PROFILE, CHECK = "profile", "check"  # purposes: what a model is fitted on, and what it is checked on
NETWORKS = 120  # that a profile measures: the model's error no longer falls with more (docs/latency.md)
_SEEDS = {PROFILE: 0, CHECK: 1}
_FIT_SEED = 0
_TRIES = 20  # draws for each network that is wanted: spaces are far larger than what is measured of them


def subnets(space: SearchSpace, purpose: str, count: int, without: Collection[ArchSpec] = ()) -> list[ArchSpec]:
    """Distinct random networks of the space, the same ones every time, and none of `without`.

    More of them begin with the fewer. Raises `BadInput` where the space has not so many.
    """
    found: dict[ArchSpec, None] = {}
    if purpose == PROFILE:  # the edges too, beyond which nothing lies
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


def measure(
    store: Store,
    setting: Setting,
    space: SearchSpace,
    bench: Bench,
    purpose: str,
    wanted: Sequence[ArchSpec],
    opening: int,
    tell: Callable[[str], None],
    unsaved: list[StorageError] | None = None,
) -> list[Sampled]:
    """Measure those of the wanted networks that the store does not have yet; returns them all.

    Each group is kept as soon as it is measured. `opening` tells one whole measurement of the same networks from
    another. Raises `StorageError` where a group cannot be kept; with a list `unsaved` that is added there, and the
    group is among what is returned all the same.
    """
    lost: list[Sampled] = []
    there = {item.arch for item in store.networks(setting, space.name, purpose, opening)}
    missing = [arch for arch in wanted if arch not in there]
    done = len(wanted) - len(missing)
    rng = np.random.default_rng()
    for group in groups(missing):
        heading = f"{done} of {len(wanted)} networks: "
        measured = measure_group(bench, group, anchor_of(space), rng, after(heading, tell))
        try:
            store.add(setting, space.name, purpose, opening, measured)
        except StorageError as error:
            if unsaved is None:
                raise
            unsaved.append(error)
            lost += measured
        done += len(group)
    asked = set(wanted)
    kept = [item for item in store.networks(setting, space.name, purpose, opening) if item.arch in asked]
    return kept + lost


def model_of(measured: list[Sampled]) -> LatencyModel:
    """The model of a profile's networks."""
    anchor_ms = 1e3 * float(np.median([np.median(item.anchor_s) for item in measured]))
    return fit(
        [item.arch for item in measured],
        [item.ratio for item in measured],
        anchor_ms,
        np.random.default_rng(_FIT_SEED),
    )


def profiled_model(store: Store, setting: Setting, space: SearchSpace, options: str) -> LatencyModel:
    """The model of what was profiled. Raises `BadInput` where nothing was, with what there is instead.

    `options` are those of the command line that name the setting and the store.
    """
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
        f"run: resnas latency profile --space {space.name}{options}"
    )
