"""The power that a network draws: by a meter of its own device, or a line that says there is none."""

from __future__ import annotations

import time

import pytest
from support.mini_space import MINI

from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.latency.power import joules_per_image, watts
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.machine.energy import Energy, Meters
from resnas_deploy.runners.registry import RUNNERS

SETUP = Setup(RUNNERS["ort-cpu"], "fp32", 2, 1)


class Steady:
    """A processor that draws 20 watts whatever it does."""

    name = "RAPL, 1 package"

    def joules(self):
        return 20 * time.perf_counter()


def test_the_power_is_what_the_meter_counts_while_the_anchor_runs():
    asked = []

    def find(gpu):
        asked.append(gpu)
        return Meters((Steady(),), least_seconds=0.2)

    assert watts(MINI, SETUP, find=find) == pytest.approx(20, rel=0.05)
    assert asked == [None]


def test_without_a_meter_it_is_said_what_is_missing():
    with pytest.raises(NotAvailable, match="`max_energy` needs a meter of the energy of cpu"):
        watts(MINI, SETUP, find=lambda _: Meters())


def test_each_device_has_a_meter_of_its_own():
    found = [Energy(name, joules, 1.0, 1.0, 1) for name, joules in (("RAPL, 1 package", 3.0), ("NVML, cuda:1", 5.0))]
    assert (joules_per_image(found, "cpu"), joules_per_image(found, "cuda:1")) == (3.0, 5.0)
    assert joules_per_image(found[:1], "cuda:1") is None
