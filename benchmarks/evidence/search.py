"""A search by measured latency against one by MACs: both pick from one pool of subnets, scored once for each supernet.

At each of twenty limits both may take the same number of the pool's subnets: those of the least predicted latency, or
of the fewest MACs. Each takes the one with the least cross-entropy on the search's pictures. What was taken is
measured in one interleaved run, and judged on the validation pictures, by which nothing was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evidence import pairs, sampling, spread
from evidence.job import Done, Found, Job
from evidence.lesson import judged
from evidence.networks import SPACE
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
SHARES = np.linspace(0.05, 1, LIMITS)  # of the pool that a limit allows
RUNNER, PRECISION, BATCH, THREADS, PROFILED = "ort-cpu", "fp32", 1, 1, 64
ROUNDS = 200


@cache
def pool() -> tuple[Subnet, ...]:
    """Draw the pool: different networks."""
    rng = np.random.default_rng(2)
    found: dict[str, Subnet] = {}
    while len(found) < POOL:  # of some 10^30
        subnet = SPACE.sample(rng)
        found[subnet.arch.fingerprint] = subnet
    return tuple(found.values())


def predicted_jobs(_: Sequence[Done] = ()) -> Iterator[Job]:
    """Yield the profile of the space, by which latency is predicted."""
    settings = {"space": SPACE.fingerprint, "networks": PROFILED, "pool": POOL, "runner": RUNNER}
    yield Job(PREDICTED, "profile", settings | {"precision": PRECISION, "batch": BATCH}, predict, 240, alone=True)


def predict(settings: Mapping[str, Any], _: str) -> Found:
    """Profile the space, and predict the latency of the pool."""
    setup = Setup(runner_kind(settings["runner"]), settings["precision"], settings["batch"], THREADS)
    model = profile(SPACE, setup, sampling.KEPT / "latency.sqlite", settings["networks"])
    found = model.predict([subnet.arch for subnet in pool()]).ms
    return {"ms": [round(float(one), 5) for one in found]}


def score_jobs(done: Sequence[Done]) -> Iterator[Job]:
    """Yield shares of the pool for each supernet that is trained."""
    trained = {one.name for one in done if one.part == sampling.PART}
    for seed in SEEDS:
        if f"groups {GROUPS:02}, seed {seed}" not in trained:
            continue
        for first in range(0, POOL, AT_ONCE):
            settings = {"seed": seed, "first": first, "count": AT_ONCE, "pictures": PICTURES, "groups": GROUPS}
            yield Job(SCORES, f"seed {seed}, from {first:04}", settings | _trained(), score, 90)


def _trained() -> Mapping[str, Any]:
    return {"steps": sampling.STEPS, "batch": sampling.BATCH, "data": pairs.wardrobe().name}


def score(settings: Mapping[str, Any], device: str) -> Found:
    """Score some of the pool."""
    first = settings["first"]
    found = judged(
        supernet(settings, device), pool()[first : first + settings["count"]], pairs.searched_by(settings["pictures"])
    )
    return {"cross_entropy": [round(one.cross_entropy, 5) for one in found]}


def supernet(settings: Mapping[str, Any], device: str) -> TrainedNetwork:
    """Load a supernet that the part `sampling` trained. Raise `BadInput` where it is not here."""
    path: Path = sampling.supernet(settings["groups"], settings["seed"])
    if not path.exists():
        raise BadInput(f"the supernet {path} must be here, found none; train it by: run sampling --again")
    checkpoint = load(path)
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


def winner_jobs(done: Sequence[Done]) -> Iterator[Job]:
    """Yield the timing of all winners, once both searches are done for every supernet that is to be."""
    found = winners(done)
    if len(found) == len(SEEDS):
        numbers = sorted({number for each in found.values() for those in each.values() for number in those})
        settings = {"numbers": numbers, "rounds": ROUNDS, "runner": RUNNER, "precision": PRECISION, "batch": BATCH}
        yield Job(WINNERS, "all", settings, measure, 180, alone=True)


def measure(settings: Mapping[str, Any], _: str) -> Found:
    """Time winners, interleaved."""
    archs = [pool()[number].arch for number in settings["numbers"]]
    found = spread.times(archs, settings["runner"], settings["precision"], settings["batch"], settings["rounds"])
    return {"ms": {str(number): ms for number, ms in zip(settings["numbers"], found, strict=True)}}


def judge_jobs(done: Sequence[Done]) -> Iterator[Job]:
    """Yield the judging of each supernet's winners."""
    for seed, each in winners(done).items():
        numbers = sorted({number for those in each.values() for number in those})
        settings = {"seed": seed, "numbers": numbers, "groups": GROUPS} | _trained()
        yield Job(JUDGED, f"seed {seed}", settings, judge, 25 * len(numbers))


def judge(settings: Mapping[str, Any], device: str) -> Found:
    """Judge winners on all validation pictures."""
    chosen = [pool()[number] for number in settings["numbers"]]
    found = zip(settings["numbers"], judged(supernet(settings, device), chosen, pairs.validation()), strict=True)
    return {str(number): {"cross_entropy": one.cross_entropy, "top1": one.top1} for number, one in found}
