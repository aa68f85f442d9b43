"""Whether a reduction's residual helps deep networks: 12 blocks a stage with and without it, and 2 as a control."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evidence import pairs
from evidence.job import Done, Found, Job
from evidence.lesson import Lesson, judged, taught
from evidence.networks import network
from resnas_deploy.arch.spec import Subnet

PART = "residual"
DEPTHS, RATES, SEEDS = (12, 2), (1, 3), range(6)
STEPS, BATCH, RATE = 1000, 64, 1e-3
READ_AT = (250, 500, 1000)  # steps
READ_ON = 4_000  # pictures, before the end; there all of them
CHANCE = math.log(pairs.CLASSES)  # the cross-entropy of a network that knows nothing


def jobs(_: Sequence[Done] = ()) -> Iterator[Job]:
    """Yield the runs, seed after seed: what is done at any time is whole pairs but for the last few."""
    for seed in SEEDS:
        for depth in DEPTHS:
            for times in RATES:
                for residual in (True, False):
                    way = "with" if residual else "without"
                    settings = {"depth": depth, "rate": times, "residual": residual, "seed": seed}
                    fixed = {
                        "steps": STEPS,
                        "batch": BATCH,
                        "read_at": READ_AT,
                        "pictures": pairs.VALIDATION,
                        "data": pairs.wardrobe().name,
                    }
                    name = f"depth {depth}, rate {times}x, seed {seed}, {way}"
                    yield Job(PART, name, settings | fixed, run, 400 if depth == 12 else 90)


def run(settings: Mapping[str, Any], device: str) -> Found:
    """Train one network."""
    arch = network(settings["depth"])
    lesson = Lesson(
        arch,
        settings["steps"],
        settings["batch"],
        RATE * settings["rate"],
        settings["seed"],
        residual=settings["residual"],
    )
    read = []

    def at(step: int, trained: Any) -> None:
        if step in settings["read_at"]:
            images = pairs.validation(settings["pictures"] if step == settings["steps"] else READ_ON)
            (found,) = judged(trained, [Subnet.whole(arch)], images)
            read.append({"step": step, "cross_entropy": found.cross_entropy, "top1": found.top1})

    course = taught(lesson, at, device)
    return {"losses": [round(one, 4) for one in course.losses], "diverged": course.diverged, "read": read}
