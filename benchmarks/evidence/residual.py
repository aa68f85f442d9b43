"""Whether a reduction's residual helps deep networks: 12 blocks a stage with and without it, and 2 as a control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evidence import pairs
from evidence.job import Done, Found, Job
from evidence.lesson import Lesson, taught_alone
from evidence.networks import network

PART = "residual"
DEPTHS, RATES, SEEDS = (12, 2), (1, 3), range(6)
STEPS, BATCH, RATE = 1000, 64, 1e-3
READ_AT = (250, 500, 1000)  # steps
FIRST = 4_000  # of the validation pictures, by which networks are judged on the way


def jobs(_: Sequence[Done], data: str) -> Iterator[Job]:
    """Yield the runs, seed after seed: what is done at any time is whole pairs but for the last few."""
    fixed = {
        "steps": STEPS,
        "batch": BATCH,
        "read_at": READ_AT,
        "first_pictures": FIRST,
        "pictures": pairs.VALIDATION,
        "data": data,
        "task": pairs.VERSION,
    }
    for seed in SEEDS:
        for depth in DEPTHS:
            for times in RATES:
                for residual in (True, False):
                    way = "with" if residual else "without"
                    settings = {
                        "arch": network(depth).fingerprint,
                        "depth": depth,
                        "rate": times,
                        "learning_rate": times * RATE,
                        "residual": residual,
                        "seed": seed,
                    }
                    name = f"depth {depth}, rate {times}x, seed {seed}, {way}"
                    yield Job(PART, name, settings | fixed, run, 330 if depth == 12 else 75)


def run(settings: Mapping[str, Any], device: str) -> Found:
    """Train one network."""
    lesson = Lesson(
        network(settings["depth"]),
        settings["steps"],
        settings["batch"],
        settings["learning_rate"],
        settings["seed"],
        residual=settings["residual"],
    )
    return taught_alone(lesson, settings, device).to_json()
