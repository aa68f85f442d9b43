"""Energy meters over trees of files such as the kernel shows, and energy an image with a clock of our own."""

from __future__ import annotations

import logging
import os
import sys
import time
from types import SimpleNamespace

import pytest
from support.checks import refusal
from support.file_tree import tree

from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.machine.energy import Energy, Meters, RaplMeter, find_meters
from resnas_deploy.runners.devices import gpus

TURN = 1_000_000_000  # microjoules after which the counters begin again


def powercap(root, *, name="package-0", domain="intel-rapl:0", energy=0):
    return tree(root, {f"{domain}/name": name, f"{domain}/energy_uj": energy, f"{domain}/max_energy_range_uj": TURN})


def set_energy(root, value, domain="intel-rapl:0"):
    tree(root, {f"{domain}/energy_uj": value})


def test_one_package(tmp_path):
    (meter,) = find_meters(powercap=powercap(tmp_path, energy=7_000_000)).found
    assert meter.name == "RAPL, 1 package"
    first = meter.joules()
    set_energy(tmp_path, 9_500_000)
    assert meter.joules() - first == pytest.approx(2.5)
    assert meter.joules() - first == pytest.approx(2.5)


def test_the_counter_begins_again(tmp_path):
    (meter,) = find_meters(powercap=powercap(tmp_path, energy=TURN - 2_000_000)).found
    first = meter.joules()
    for value, joules in ((TURN - 1_000_000, 1), (3_000_000, 5), (2_999_999, 5 + TURN / 1e6)):
        set_energy(tmp_path, value)
        assert meter.joules() - first == pytest.approx(joules, abs=1e-5)


def test_packages_are_added_and_parts_are_not(tmp_path):
    powercap(tmp_path)
    powercap(tmp_path, domain="intel-rapl:1", name="package-1")
    for domain, name in (
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:0:1", "dram"),
        ("intel-rapl:2", "psys"),
        ("intel-rapl-mmio:0", "package-0"),
        ("dtpm", "package-0"),
    ):
        powercap(tmp_path, domain=domain, name=name)
    (meter,) = find_meters(powercap=tmp_path).found
    assert meter.name == "RAPL, 2 packages"
    first = meter.joules()
    set_energy(tmp_path, 1_000_000)
    set_energy(tmp_path, 10_000_000, "intel-rapl:1")
    for other in ("intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:2", "intel-rapl-mmio:0", "dtpm"):
        set_energy(tmp_path, 500_000_000, other)
    assert meter.joules() - first == pytest.approx(11)


@pytest.fixture
def reasons(caplog):
    """Why a meter is not here, as it is logged."""
    caplog.set_level(logging.DEBUG, "resnas_deploy.measuring.machine.energy")
    return caplog


def test_no_powercap_is_no_meter_and_a_reason(tmp_path, reasons):
    assert find_meters(powercap=tmp_path / "none").found == ()
    assert f"found no package in {tmp_path / 'none'}" in reasons.messages[0]


def test_counters_for_root_alone(tmp_path, reasons):
    """The tests may run as root, whom no file's mode stops; a folder in the counter's place cannot be read either."""
    powercap(tmp_path)
    (tmp_path / "intel-rapl:0/energy_uj").unlink()
    (tmp_path / "intel-rapl:0/energy_uj").mkdir()
    assert find_meters(powercap=tmp_path).found == ()
    assert "only root may, unless: sudo chmod" in reasons.messages[0]
    assert reasons.messages[0].isprintable()


def test_a_counter_that_is_no_number(tmp_path):
    with pytest.raises(NotAvailable, match="no number in it"):
        RaplMeter([powercap(tmp_path, energy="much") / "intel-rapl:0"])


class Meter:
    """Counts what `Bench` spends on it."""

    def __init__(self, name, watts):
        self.name, self.watts, self.spent = name, watts, 1000.0

    def joules(self):
        return self.spent


class Bench:
    """A step that takes a set time on a clock that only it moves, and that meters count."""

    def __init__(self, seconds, *meters):
        self.now, self.seconds, self.meters, self.steps = 50.0, seconds, meters, 0

    def step(self):
        self.now += self.seconds
        self.steps += 1
        for meter in self.meters:
            meter.spent += meter.watts * self.seconds

    def measure(self, images, least):
        return Meters(self.meters, least, lambda: self.now).measure(self.step, images)


def test_energy_an_image_and_mean_power():
    bench = Bench(0.25, Meter("processor", 80.0), Meter("GPU", 300.0))
    found = bench.measure(images=8, least=2.0)
    assert bench.steps == 8
    assert found == [
        Energy("processor", pytest.approx(80 * 0.25 / 8), pytest.approx(80), 2.0, 64),
        Energy("GPU", pytest.approx(300 * 0.25 / 8), pytest.approx(300), 2.0, 64),
    ]


@pytest.mark.parametrize(("seconds", "least", "steps"), [(0.3, 2.0, 7), (5.0, 2.0, 1), (0.5, 0.0, 1)])
def test_as_long_as_asked_and_at_least_once(seconds, least, steps):
    bench = Bench(seconds, Meter("processor", 10.0))
    (found,) = bench.measure(images=1, least=least)
    assert bench.steps == found.images == steps
    assert found.watts == pytest.approx(10)


def test_without_meters_nothing_is_run():
    bench = Bench(1.0)
    assert bench.measure(images=1, least=2.0) == []
    assert bench.steps == 0


def test_a_step_without_images():
    assert "at least one image, found 0" in refusal(lambda: Bench(1.0).measure(images=0, least=2.0))


def stand_in(energies):
    """A module `pynvml` whose GPU counts these millijoules, one after another."""
    error = type("NVMLError", (Exception,), {})
    values = iter(energies)

    def total(handle):
        if (value := next(values)) is None:
            raise error("Not Supported")
        return value

    return SimpleNamespace(
        nvmlInit=lambda: None,
        NVMLError=error,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetTotalEnergyConsumption=total,
    )


def test_a_gpu_counts_millijoules_and_never_falls(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pynvml", stand_in([1000, 4500, 4400, 6000]))
    (meter,) = find_meters(2, tmp_path, {}).found
    assert meter.name == "NVML, cuda:2"
    assert [meter.joules() for _ in range(3)] == [4.5, 4.5, 6.0]


def test_a_gpu_that_does_not_count(monkeypatch, tmp_path, reasons):
    monkeypatch.setitem(sys.modules, "pynvml", stand_in([None]))
    assert find_meters(0, tmp_path, {}).found == ()
    assert "GPUs before Volta and instances of MIG cannot" in reasons.messages[1]


def test_without_nvml_there_is_a_reason(monkeypatch, tmp_path, reasons):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = find_meters(0, powercap(tmp_path), {})
    assert [meter.name for meter in found.found] == ["RAPL, 1 package"]
    assert "NVML needs the package nvidia-ml-py; install it with: pip install nvidia-ml-py" in reasons.messages[0]


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")
def test_a_real_gpu(tmp_path):
    pytest.importorskip("pynvml")
    (meter,) = find_meters(0, tmp_path, os.environ).found
    (found,) = Meters((meter,)).measure(lambda: time.sleep(0.1), 1)
    assert 1 < found.watts < 3000  # at rest
