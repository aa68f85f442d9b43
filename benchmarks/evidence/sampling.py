"""Whether several subnets a step train a supernet better than one: 1, 4 and 16 at equal images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tabulated import ROOT

from evidence import pairs
from evidence.job import Done, Found, Job
from evidence.lesson import Judged, Lesson, judged, taught
from evidence.networks import SPACE
from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.files import records
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.weights.checkpoint import Provenance, save

PART, ALONE, GATE = "sampling", "alone", "gate"
GROUPS, SEEDS, ALONE_SEEDS = (1, 16, 4), range(6), range(2)
STEPS, BATCH, RATE = 1500, 64, 1e-3
READ_AT = (STEPS // 4, STEPS // 2, STEPS)
READ_ON = 2_000  # pictures, of the random subnets and of what is read before the end
RANDOM, RANKED = 50, 16  # subnets: judged by their mean; trained alone and ranked
WIDEST_RANKED = 0.7  # of the way from the narrowest to the widest: random subnets alone differ too little (`GATE`)
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
    ends = SPACE.narrowest(), SPACE.widest()
    drawn = {
        subnet.arch.fingerprint: subnet
        for share in np.linspace(0, WIDEST_RANKED, RANKED)
        for subnet in (SPACE.blend(*ends, share, rng),)
    }
    return tuple(sorted(drawn.values(), key=lambda subnet: macs(subnet.arch)))


@cache
def typical_subnets() -> tuple[Subnet, ...]:
    """Return the cheapest, the dearest and two between of 400 random ones."""
    rng = np.random.default_rng(1)
    drawn = {subnet.arch.fingerprint: subnet for subnet in (SPACE.sample(rng) for _ in range(400))}
    ordered = sorted(drawn.values(), key=lambda subnet: macs(subnet.arch))
    sixteen = [ordered[round(place)] for place in np.linspace(0, len(ordered) - 1, 16)]
    return tuple(sixteen[number] for number in (0, 5, 10, 15))


def gate_jobs(_: Sequence[Done] = ()) -> Iterator[Job]:
    """Yield random subnets that are trained alone, by which the gate was looked at first."""
    yield from _alone(GATE, typical_subnets(), range(4))


def alone_jobs(_: Sequence[Done] = ()) -> Iterator[Job]:
    """Yield the networks that are trained alone: both ends and two between first, by which the gate is looked at."""
    yield from _alone(ALONE, ranked_subnets(), sorted(range(RANKED), key=lambda number: number not in (0, 5, 10, 15)))


def _alone(part: str, subnets: Sequence[Subnet], order: Iterable[int]) -> Iterator[Job]:
    for number in order:
        arch = subnets[number].arch
        for seed in ALONE_SEEDS:
            settings = {"arch": records.to_json(arch), "seed": seed} | _common()
            yield Job(part, f"network {number:02}, seed {seed}", settings, run_alone, macs(arch) / 65e3 + 30)


def jobs(_: Sequence[Done] = ()) -> Iterator[Job]:
    """Yield the supernets, seed after seed."""
    for seed in SEEDS:
        for groups in GROUPS:
            settings = {"groups": groups, "seed": seed, "space": SPACE.fingerprint} | _common()
            yield Job(PART, f"groups {groups:02}, seed {seed}", settings, run, 900 if groups == 16 else 600)


def _common() -> Mapping[str, Any]:
    return {
        "steps": STEPS,
        "batch": BATCH,
        "read_at": READ_AT,
        "pictures": pairs.VALIDATION,
        "data": pairs.wardrobe().name,
    }


def run_alone(settings: Mapping[str, Any], device: str) -> Found:
    """Train one network."""
    arch = records.from_json(ArchSpec, settings["arch"], "a network")
    read = []

    def at(step: int, network: TrainedNetwork) -> None:
        if step in settings["read_at"]:
            images = pairs.validation(settings["pictures"] if step == settings["steps"] else READ_ON)
            (found,) = judged(network, [Subnet.whole(arch)], images)
            read.append({"step": step, "cross_entropy": found.cross_entropy, "top1": found.top1})

    course = taught(Lesson(arch, settings["steps"], settings["batch"], RATE, settings["seed"]), at, device)
    return {"macs": macs(arch), "fingerprint": arch.fingerprint, "diverged": course.diverged, "read": read}


def run(settings: Mapping[str, Any], device: str) -> Found:
    """Train one supernet, and keep it."""
    read = []
    groups, seed = settings["groups"], settings["seed"]

    def at(step: int, network: TrainedNetwork) -> None:
        if step in settings["read_at"]:
            images = pairs.validation(settings["pictures"] if step == settings["steps"] else READ_ON)
            random = judged(network, random_subnets(), pairs.validation(READ_ON))
            ranked = judged(network, ranked_subnets(), images)
            read.append({"step": step, "random": _figures(random), "ranked": _figures(ranked)})

    masked = device != "cpu" and groups > 1  # the same gradients, in fewer and larger products
    lesson = Lesson(
        SPACE.widest().full,
        settings["steps"],
        settings["batch"],
        RATE,
        seed,
        space=SPACE,
        groups=groups,
        masked=masked,
    )
    course = taught(lesson, at, device)
    KEPT.mkdir(parents=True, exist_ok=True)
    trained = Provenance(True, (f"trained on pairs, {groups} subnets a step, seed {seed}",))
    save(course.network.checkpoint(trained, None), supernet(groups, seed))
    return {"losses": [round(one, 4) for one in course.losses], "diverged": course.diverged, "read": read}


def supernet(groups: int, seed: int) -> Path:
    """Return where a supernet is kept."""
    return KEPT / f"groups{groups}-seed{seed}.safetensors"


def _figures(found: Sequence[Judged]) -> Mapping[str, list[float]]:
    return {
        "cross_entropy": [round(one.cross_entropy, 5) for one in found],
        "top1": [round(one.top1, 5) for one in found],
    }
