"""Whether several subnets a step train a supernet better than one: 1, 4 and 16 at equal images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tabulated import ROOT

from evidence import pairs
from evidence.job import Done, Found, Job, told_apart
from evidence.lesson import Judged, Lesson, judged, taught, taught_alone
from evidence.networks import SPACE, between_ends
from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.files import records
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.weights.checkpoint import Provenance, save

PART, ALONE, GATE = "sampling", "alone", "gate"
GROUPS, SEEDS, ALONE_SEEDS = (1, 16, 4), range(6), range(2)
STEPS, BATCH, RATE = 1500, 64, 1e-3
READ_AT = (STEPS // 4, STEPS // 2, STEPS)
FIRST = 2_000  # of the validation pictures: for the random subnets, and for what is read on the way
RANDOM, RANKED = 50, 16  # subnets: judged by their mean; trained alone and ranked
KEPT = ROOT / "build" / "evidence"  # supernets, for the search; machines that share the work share it


@cache
def random_subnets() -> tuple[Subnet, ...]:
    """Return those whose mean is judged, and then the widest and the narrowest."""
    rng = np.random.default_rng(0)
    return (*(SPACE.sample(rng) for _ in range(RANDOM)), SPACE.widest(), SPACE.narrowest())


@cache
def ranked_subnets() -> tuple[Subnet, ...]:
    """Return subnets from the narrowest on towards the widest, by what they cost, no two of them the same network."""
    rng = np.random.default_rng(1)
    drawn = (between_ends(share, rng) for share in np.linspace(0, 1, RANKED))
    different = {subnet.arch.fingerprint: subnet for subnet in drawn}
    return tuple(sorted(different.values(), key=lambda subnet: macs(subnet.arch)))


@cache
def typical_subnets() -> tuple[Subnet, ...]:
    """Return the cheapest, the dearest and two between of 400 random ones."""
    rng = np.random.default_rng(1)
    drawn = {subnet.arch.fingerprint: subnet for subnet in (SPACE.sample(rng) for _ in range(400))}
    ordered = sorted(drawn.values(), key=lambda subnet: macs(subnet.arch))
    return tuple(ordered[round(place * (len(ordered) - 1))] for place in (0, 1 / 3, 2 / 3, 1))


def gate_jobs(_: Sequence[Done], data: str) -> Iterator[Job]:
    """Yield random subnets that are trained alone, by which the gate was looked at first."""
    yield from _alone(GATE, typical_subnets(), range(4), data)


def alone_jobs(_: Sequence[Done], data: str) -> Iterator[Job]:
    """Yield the networks that are trained alone: both ends and two between first, by which the gate is looked at."""
    order = sorted(range(RANKED), key=lambda number: number not in (0, 5, 10, 15))
    yield from _alone(ALONE, ranked_subnets(), order, data)


def _alone(part: str, subnets: Sequence[Subnet], order: Iterable[int], data: str) -> Iterator[Job]:
    for number in order:
        arch = subnets[number].arch
        for seed in ALONE_SEEDS:
            settings = {"arch": records.to_json(arch), "seed": seed} | _common(data)
            yield Job(part, f"network {number:02}, seed {seed}", settings, run_alone, macs(arch) / 65e3 + 90)


def jobs(_: Sequence[Done], data: str) -> Iterator[Job]:
    """Yield the supernets, seed after seed."""
    subnets = {"random": told_apart(random_subnets()), "ranked": told_apart(ranked_subnets())}
    for seed in SEEDS:
        for groups in GROUPS:
            settings = {"groups": groups, "seed": seed, "space": SPACE.fingerprint} | subnets | _common(data)
            yield Job(PART, f"groups {groups:02}, seed {seed}", settings, run, 1200 if groups == 16 else 900)


def _common(data: str) -> Mapping[str, Any]:
    return {
        "steps": STEPS,
        "batch": BATCH,
        "learning_rate": RATE,
        "read_at": READ_AT,
        "first_pictures": FIRST,
        "pictures": pairs.VALIDATION,
        "data": data,
        "task": pairs.VERSION,
    }


def run_alone(settings: Mapping[str, Any], device: str) -> Found:
    """Train one network."""
    arch = records.from_json(ArchSpec, settings["arch"], "a network")
    lesson = Lesson(arch, settings["steps"], settings["batch"], settings["learning_rate"], settings["seed"])
    found = taught_alone(lesson, settings, device).to_json()
    return {"macs": macs(arch), "fingerprint": arch.fingerprint, **found}


def run(settings: Mapping[str, Any], device: str) -> Found:
    """Train one supernet, and keep it."""
    groups, seed = settings["groups"], settings["seed"]
    lesson = Lesson(
        SPACE.widest().full,
        settings["steps"],
        settings["batch"],
        settings["learning_rate"],
        seed,
        space=SPACE,
        groups=groups,
        masked=device != "cpu" and groups > 1,  # the same gradients, in fewer and larger products
    )
    first = pairs.validation(settings["first_pictures"])

    def read(step: int, network: TrainedNetwork) -> Mapping[str, Any]:
        images = pairs.validation(settings["pictures"]) if step == lesson.steps else first
        return {
            "random": _figures(judged(network, random_subnets(), first)),
            "ranked": _figures(judged(network, ranked_subnets(), images)),
        }

    course = taught(lesson, settings["read_at"], read, device)
    if course.diverged:
        return course.to_json()
    KEPT.mkdir(parents=True, exist_ok=True)
    trained = Provenance(True, (f"trained on pairs, {groups} subnets a step, seed {seed}",))
    checkpoint = course.network.checkpoint(trained, None)
    save(checkpoint, supernet(groups, seed))
    return {"digest": checkpoint.digest, **course.to_json()}


def supernet(groups: int, seed: int) -> Path:
    """Return where a supernet is kept."""
    return KEPT / f"groups{groups}-seed{seed}.safetensors"


def _figures(found: Sequence[Judged]) -> Mapping[str, list[float]]:
    rows = [one.to_json() for one in found]
    return {name: [row[name] for row in rows] for name in rows[0]}
