"""Comparisons that were made up: all published networks, in any settings, with times that follow from their MACs."""

from __future__ import annotations

import numpy as np
from support.made_up_measuring import CALM, MACHINE, measurement

from resnas_deploy.measuring.report import Reference
from resnas_deploy.measuring.tradeoff.contenders import contenders
from resnas_deploy.measuring.tradeoff.result import Asked, Group, Tradeoff

SPEED = {("ort-cpu", "fp32"): 1.0, ("ort-cpu", "int8"): 2.0, ("openvino", "fp32"): 1.1, ("openvino", "int8"): 2.2}
PACE = 0.02  # seconds of the reference workload


def made_up(networks=(), settings=tuple(SPEED), batches=(1, 16), openings=3, rounds=3, noise=0.02, **changes):
    """A comparison in which a network takes 10 ms an image and a G MACs, over the speed of its setting."""
    taking_part = contenders(networks, (), {})
    rng = np.random.default_rng(0)
    groups = []
    for runner, precision in settings:
        measurements = [
            measurement(
                [
                    [0.01 * each.gmacs * batch / SPEED[runner, precision] * float(np.exp(noise * rng.normal()))
                     for _ in range(rounds)]
                    for _ in range(openings)
                ],
                source=each.source, label=f"{each.name} {precision}", runner=runner, precision=precision, batch=batch,
                images=batch,
            )
            for each in taking_part for batch in batches
        ]  # fmt: skip
        reference = Reference("a workload", ((PACE,) * rounds,) * openings)
        names = tuple(each.name for each in taking_part)
        groups.append(Group(runner, precision, names, (CALM,) * openings, reference, tuple(measurements)))
    runners, precisions = (tuple(dict.fromkeys(one)) for one in zip(*settings, strict=True))
    asked = Asked(taking_part, runners, precisions, batches, openings * rounds, openings, 2, "")
    return Tradeoff(**{"machine": MACHINE, "asked": asked, "groups": tuple(groups), "interrupted": False} | changes)
