"""What NVML tells, through a stand-in that answers as the library does; on a GPU, through the library."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.machine.nvml import GpuState, open_gpu
from resnas_deploy.measuring.machine.observation import observe
from resnas_deploy.runners.devices import gpus


class NVMLError(Exception):
    pass


def nvml(**answers):
    """A stand-in for the module `pynvml` with two GPUs. An answer may be an error to raise."""

    def answer(name, value):
        def call(handle, *_):
            assert handle in ("first", "second")
            if isinstance(value, Exception):
                raise value
            return value

        return {f"nvmlDeviceGet{name}": call}

    usual = {
        "CurrentClocksEventReasons": 0x1,
        "ClockInfo": 1980,
        "Temperature": 61,
        "PowerUsage": 312_500,
        "ViolationStatus": SimpleNamespace(referenceTime=1, violationTime=2_500_000_000),
        "ComputeRunningProcesses_v3": ["one", "two"],
        "TotalEnergyConsumption": 5_000,
    }
    by_index, by_name = {0: "first", 1: "second"}, {"GPU-a": "first", "GPU-b": "second"}
    members = {"nvmlInit": lambda: None, "NVMLError": NVMLError, "NVML_CLOCK_SM": 1, "NVML_TEMPERATURE_GPU": 0}
    members |= {"NVML_PERF_POLICY_POWER": 0, "NVML_PERF_POLICY_THERMAL": 1}
    members |= {"nvmlDeviceGetHandleByIndex": finder(by_index), "nvmlDeviceGetHandleByUUID": finder(by_name)}
    members |= {"nvmlDeviceGetCount": lambda: 2, "nvmlDeviceGetUUID": {"first": "GPU-a", "second": "GPU-b"}.__getitem__}
    for name, value in (usual | answers).items():
        members |= answer(name, value)
    return SimpleNamespace(**members)


def finder(handles):
    def find(key):
        if key not in handles:
            raise NVMLError("Not Found")
        return handles[key]

    return find


def state(monkeypatch, index=0, environment=None, **answers):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(**answers))
    return open_gpu(index, environment or {}).state()


def test_units(monkeypatch):
    assert state(monkeypatch) == GpuState(
        sm_mhz=1980.0,
        celsius=61.0,
        watts=312.5,
        throttled=(),  # an idle GPU is not throttled
        power_limited=2.5,
        heat_limited=2.5,
        processes=2,
    )
    assert open_gpu(0, {}).joules() == 5.0


def test_reasons_by_name(monkeypatch):
    found = state(monkeypatch, CurrentClocksEventReasons=0x1 | 0x4 | 0x40)
    assert found.throttled == ("software power cap", "hardware thermal slowdown")


def test_what_the_gpu_does_not_tell_is_none(monkeypatch):
    refused = NVMLError("Not Supported")
    found = state(monkeypatch, ViolationStatus=refused, PowerUsage=refused, CurrentClocksEventReasons=refused)
    assert (found.power_limited, found.heat_limited, found.watts, found.throttled) == (None,) * 4
    assert found.sm_mhz == 1980
    monkeypatch.setitem(sys.modules, "pynvml", nvml(TotalEnergyConsumption=refused))
    assert open_gpu(0, {}).joules() is None


@pytest.mark.parametrize(
    ("visible", "index", "handle"),
    [("", 0, "first"), ("", 1, "second"), ("1,0", 0, "second"), ("GPU-b", 0, "second"), (" 0 , GPU-b", 1, "second")],
)
def test_the_gpu_is_the_one_that_cuda_numbers_so(monkeypatch, visible, index, handle):
    module = nvml()
    module.nvmlDeviceGetTotalEnergyConsumption = {"first": 1000, "second": 2000}.__getitem__
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert open_gpu(index, {"CUDA_VISIBLE_DEVICES": visible}).joules() == {"first": 1, "second": 2}[handle]


@pytest.mark.parametrize(
    ("environment", "index", "words"),
    [
        ({"CUDA_VISIBLE_DEVICES": "1"}, 1, "CUDA_VISIBLE_DEVICES must show the GPU 1, found 1"),
        ({}, 2, "NVML finds no GPU 2: Not Found"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-x"}, 0, "NVML finds no GPU GPU-x: Not Found"),
    ],
)
def test_no_such_gpu(monkeypatch, environment, index, words):
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    with pytest.raises(NotAvailable, match=words):
        open_gpu(index, environment)
    assert observe((0,), index, environment=environment).gpu is None


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NotAvailable, match="pip install nvidia-ml-py"):
        open_gpu(0, {})
    assert observe((0,), 0).gpu is None


def test_an_observation_has_the_gpus_state(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    assert observe((0,), 1, environment={}).gpu.sm_mhz == 1980
    assert observe((0,), environment={}).gpu is None


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")
def test_a_real_gpu():
    pytest.importorskip("pynvml")
    found = open_gpu(0, os.environ).state()
    assert 0 < found.sm_mhz < 5000
    assert 0 < found.celsius < 120
    assert 0 < found.watts < 3000
    assert found.throttled is not None
