"""NVML through its real bindings (nvidia-ml-py), over a library that is compiled here after NVML's documents."""

from __future__ import annotations

import pytest
from support.documented.nvml import Gpu, nvml_of

from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.machine.energy import Meters, NvmlMeter, find_meters
from resnas_deploy.measuring.machine.nvml import GpuState, open_gpu

H200 = Gpu("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", processes=3, reasons=0x1 | 0x4 | 0x40)
OTHER = Gpu("GPU-89aa0000-0000-4106-c12f-20bd9faed9f6", processes=0, millijoules=70_000)
INSTANCE = Gpu("MIG-3c8f6f6e-0a6b-5d3e-8d1c-000000000000", instance=True, processes=1)
DIVIDED = Gpu("GPU-11111111-0000-4106-c12f-20bd9faed9f6", divided=1)


@pytest.fixture
def nvml(monkeypatch, tmp_path):
    """A function: NVML with these GPUs."""
    return lambda *gpus, new=True, fails=0: nvml_of(monkeypatch, tmp_path, *gpus, new=new, fails=fails)


@pytest.mark.parametrize("new", [True, False], ids=["new driver", "old driver"])
def test_what_a_gpu_tells(nvml, new):
    nvml(H200, OTHER, new=new)
    assert open_gpu(0, {}).state() == GpuState(
        sm_mhz=1980.0,
        celsius=61.0,
        watts=312.5,
        throttled=("software power cap", "hardware thermal slowdown"),
        power_limited=2.5,
        heat_limited=0.25,
        processes=3,
    )
    assert open_gpu(1, {}).state().processes == 0
    assert [open_gpu(0, {}).joules() for _ in range(2)] == [5.0, 6.5]


@pytest.mark.parametrize("visible", [OTHER.uuid, OTHER.uuid[:8], "1"])
def test_the_gpu_that_cuda_shows(nvml, visible):
    nvml(H200, OTHER)
    assert open_gpu(0, {"CUDA_VISIBLE_DEVICES": visible}).joules() == 70


def test_digits_of_two_gpus_name_none(nvml):
    nvml(H200, OTHER)
    with pytest.raises(NotAvailable, match="NVML finds no GPU GPU-89: Not Found"):
        open_gpu(0, {"CUDA_VISIBLE_DEVICES": "GPU-89"})
    with pytest.raises(NotAvailable, match="NVML finds no GPU 2: Invalid Argument"):
        open_gpu(2, {})


def test_an_instance_of_a_divided_gpu_tells_no_energy(nvml, tmp_path):
    nvml(DIVIDED, INSTANCE)
    environment = {"CUDA_VISIBLE_DEVICES": INSTANCE.uuid}
    gpu = open_gpu(0, environment)
    assert gpu.joules() is None
    assert gpu.state() == GpuState(None, None, None, None, None, None, processes=1)
    assert find_meters(0, tmp_path, environment).found == ()


def test_the_energy_of_a_divided_gpu_is_not_that_of_the_instance_that_cuda_shows(nvml, tmp_path):
    nvml(DIVIDED, INSTANCE)
    assert open_gpu(0, {}).joules() is open_gpu(0, {}).state().watts is None
    assert find_meters(0, tmp_path, {}).found == ()


def test_a_gpu_before_volta(nvml, tmp_path):
    nvml(Gpu("GPU-1", divided=-1, volta=False))
    assert open_gpu(0, {}).joules() is None
    assert open_gpu(0, {}).state().watts == 312.5
    assert find_meters(0, tmp_path, {}).found == ()


def test_a_gpu_without_instances_counts(nvml, tmp_path):
    nvml(Gpu("GPU-1", divided=-1))
    (meter,) = find_meters(0, tmp_path, {}).found
    assert meter.joules() == 6.5  # it was asked once before, whether it counts


@pytest.mark.parametrize("fails", [9, 17, 18], ids=["no driver", "blocked", "other versions"])
def test_an_nvml_that_does_not_start(nvml, fails):
    nvml(H200, fails=fails)
    with pytest.raises(NotAvailable, match="NVML finds no GPU 0"):
        open_gpu(0, {})


def test_a_gpu_that_is_lost_meanwhile(nvml, caplog):
    """Its energy is left out, and what ran is not lost with it."""
    bindings = nvml(H200)
    meter = NvmlMeter(open_gpu(0, {}), 0)
    found = Meters((meter,), least_seconds=0).measure(bindings.nvmlShutdown, 1)
    assert found == []
    assert "no energy is told of NVML, cuda:0" in caplog.text
