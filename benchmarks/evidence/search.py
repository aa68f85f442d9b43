"""A search by measured latency against one by MACs: both pick from one pool of subnets, scored once for each supernet.

At each of twenty limits both may take the same number of the pool's subnets: those of the least predicted latency, or
of the fewest MACs. Each takes the one with the least cross-entropy on the search's pictures. What was taken is
measured in one interleaved run, and judged on the validation pictures, by which nothing was chosen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evidence import pairs, sampling, spread
from evidence.job import Done, Found, Job, told_apart
from evidence.lesson import judged
from evidence.networks import SPACE, between_ends
from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.profile import profile
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.runners.registry import runner_kind
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.weights.checkpoint import load

PREDICTED, SCORES, WINNERS, JUDGED = "predicted", "scores", "winners", "judged"
POOL, AT_ONCE = 2_000, 100  # subnets; of one job
GROUPS, SEEDS = 16, range(5)  # of the supernets
PICTURES = 1_000  # that are scored on
LIMITS = 20
SHARES = np.linspace(0.03, 0.6, LIMITS)  # of the pool that a limit allows: beyond, both take the same subnets
TIMING = {"runner": "ort-cpu", "precision": "fp32", "batch": 1}
PROFILED, ROUNDS = 64, 200
COMPARED = 40  # of the pool, whose measured latency says by what predictions are off on the day


@cache
def pool() -> tuple[Subnet, ...]:
    """Draw the pool: different networks, evenly on the way from the narrowest on towards the widest."""
    rng = np.random.default_rng(2)
    found: dict[str, Subnet] = {}
    while len(found) < POOL:  # of some 10^30
        subnet = between_ends(rng.random(), rng)
        found[subnet.arch.fingerprint] = subnet
    return tuple(found.values())


def predicted_jobs(_: Sequence[Done], __: str) -> Iterator[Job]:
    """Yield the profile of the space, by which latency is predicted."""
    settings = {"space": SPACE.fingerprint, "networks": PROFILED, "pool": told_apart(pool()), **TIMING}
    yield Job(PREDICTED, "profile", settings, predict, 240, alone=True)


def predict(settings: Mapping[str, Any], _: str) -> Found:
    """Profile the space anew, and predict the latency of the pool."""
    setup = Setup(runner_kind(settings["runner"]), settings["precision"], settings["batch"], threads=1)
    with tempfile.TemporaryDirectory() as folder:
        model = profile(SPACE, setup, Path(folder, "latency.sqlite"), settings["networks"])
    found = model.predict([subnet.arch for subnet in pool()]).ms
    return {"ms": [round(float(one), 5) for one in found]}


def score_jobs(done: Sequence[Done], data: str) -> Iterator[Job]:
    """Yield shares of the pool for each supernet that is trained."""
    for seed, supernet in _trained(done, data):
        for first in range(0, POOL, AT_ONCE):
            settings = {"first": first, "count": AT_ONCE, "pictures": PICTURES, **supernet}
            yield Job(SCORES, f"seed {seed}, from {first:04}", settings, score, 90)


def _trained(done: Sequence[Done], data: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the seeds of the supernets that are trained, and what tells a job which one it is of."""
    found = {one.name: one.found for one in done if one.part == sampling.PART}
    for seed in SEEDS:
        one = found.get(f"groups {GROUPS:02}, seed {seed}", {})
        if "digest" in one:  # it did not diverge
            pool_ = {"pool": told_apart(pool()), "data": data, "task": pairs.VERSION}
            yield seed, {"seed": seed, "groups": GROUPS, "supernet": one["digest"], **pool_}


def score(settings: Mapping[str, Any], device: str) -> Found:
    """Score some of the pool."""
    chosen = pool()[settings["first"] : settings["first"] + settings["count"]]
    found = judged(_supernet(settings, device), chosen, pairs.searched_by(settings["pictures"]))
    return {"cross_entropy": [round(one.cross_entropy, 5) for one in found]}


def _supernet(settings: Mapping[str, Any], device: str) -> TrainedNetwork:
    """Load a supernet that the part `sampling` trained. Raise `BadInput` where it is not here."""
    path = sampling.supernet(settings["groups"], settings["seed"])
    if not path.exists():
        raise BadInput(f"the supernet {path} must be here, found none; copy it from where it was trained")
    checkpoint = load(path)
    if checkpoint.digest != settings["supernet"]:
        raise BadInput(f"{path} must be the supernet of the results, found another; copy it from where it was trained")
    network = TrainedNetwork(checkpoint.arch)
    network.load(checkpoint)
    return network.to(device)


def winners(done: Sequence[Done]) -> dict[int, dict[str, list[int]]]:
    """Return by seed what each search takes at each limit, of the supernets whose whole pool is scored."""
    found: dict[int, dict[str, list[int]]] = {}
    ms = next((np.array(one.found["ms"]) for one in done if one.part == PREDICTED), None)
    if ms is None:
        return found
    costs = {"latency": ms, "macs": pool_macs()}
    for seed in SEEDS:
        scores = [one for one in done if one.part == SCORES and one.name.startswith(f"seed {seed},")]
        if len(scores) * AT_ONCE < POOL:
            continue
        entropy = np.concatenate([one.found["cross_entropy"] for one in sorted(scores, key=lambda one: one.name)])
        found[seed] = {by: taken(cost, entropy) for by, cost in costs.items()}
    return found


@cache
def pool_macs() -> NDArray[np.float64]:
    """Return the MACs of the pool."""
    return np.array([macs(subnet.arch) for subnet in pool()], np.float64)


def taken(cost: NDArray[np.float64], entropy: NDArray[np.float64]) -> list[int]:
    """Return at each limit which of the pool is best among the cheapest."""
    order = np.argsort(cost, kind="stable")
    allowed = (order[: round(share * len(order))] for share in SHARES)
    return [int(those[np.argmin(entropy[those])]) for those in allowed]


def winner_jobs(done: Sequence[Done], _: str) -> Iterator[Job]:
    """Yield the timing of all winners, and of some others, once both searches are done for every supernet."""
    found = winners(done)
    if len(found) == len(SEEDS):
        taken_ = {number for each in found.values() for those in each.values() for number in those}
        numbers = sorted(taken_ | set(range(COMPARED)))
        yield Job(WINNERS, "all", {"numbers": numbers, "rounds": ROUNDS, **TIMING}, measure, 240, alone=True)


def measure(settings: Mapping[str, Any], _: str) -> Found:
    """Time winners, interleaved."""
    archs = [pool()[number].arch for number in settings["numbers"]]
    found = spread.times(archs, *(settings[name] for name in ("runner", "precision", "batch", "rounds")))
    return {"ms": {str(number): ms for number, ms in zip(settings["numbers"], found, strict=True)}}


def judge_jobs(done: Sequence[Done], data: str) -> Iterator[Job]:
    """Yield the judging of each supernet's winners."""
    found = winners(done)
    for seed, supernet in _trained(done, data):
        if seed in found:
            numbers = sorted({number for those in found[seed].values() for number in those})
            settings = {"numbers": numbers, "pictures": pairs.VALIDATION, **supernet}
            yield Job(JUDGED, f"seed {seed}", settings, judge, 25 * len(numbers))


def judge(settings: Mapping[str, Any], device: str) -> Found:
    """Judge winners on the validation pictures."""
    chosen = [pool()[number] for number in settings["numbers"]]
    found = judged(_supernet(settings, device), chosen, pairs.validation(settings["pictures"]))
    return {str(number): one.to_json() for number, one in zip(settings["numbers"], found, strict=True)}
