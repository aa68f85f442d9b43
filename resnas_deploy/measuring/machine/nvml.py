"""A GPU as NVIDIA's management library sees it (`pynvml`, of the package nvidia-ml-py; its calls are of 13.615).

Units and meanings are those of the NVML API reference, https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from resnas_deploy.errors import NotAvailable, PackageMissing

T = TypeVar("T")
_MOST_DIGITS = 4  # of a GPU's number
_MIG_ENABLED = 1  # NVML_DEVICE_MIG_ENABLE

# Bits of nvmlClocksEventReasons. Those of a GPU that is idle, or set to other clocks by its owner, are no throttling.
_REASONS = {
    0x004: "software power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "hardware power brake",
}


@dataclass(frozen=True)
class GpuState:
    """What NVML tells of a GPU at one moment. None is what this GPU or its driver does not tell."""

    sm_mhz: float | None
    celsius: float | None
    watts: float | None
    throttled: tuple[str, ...] | None  # why its clocks are held down now
    power_limited: float | None  # seconds in which power held the clocks down, since the driver was loaded
    heat_limited: float | None  # the same for temperature
    processes: int | None  # that compute on it, this one included once it does


class Gpu:
    """One GPU. NVML stays loaded until the process ends: loading it takes longer than any question to it."""

    def __init__(self, nvml: Any, handle: object) -> None:
        self._nvml, self._handle = nvml, handle

    def state(self) -> GpuState:
        """Return what it tells now."""
        nvml, gpu = self._nvml, self._handle
        reasons = self._ask(
            lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)),
            lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)),  # as drivers before 535 call it
        )
        return GpuState(
            sm_mhz=self._ask(lambda: float(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))),
            celsius=self._ask(
                lambda: float(nvml.nvmlDeviceGetTemperatureV(gpu, nvml.NVML_TEMPERATURE_GPU)),
                lambda: float(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),  # removed in CUDA 14
            ),
            watts=None if self._is_divided() else self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3),
            throttled=None if reasons is None else tuple(name for bit, name in _REASONS.items() if reasons & bit),
            power_limited=self._limited("NVML_PERF_POLICY_POWER"),
            heat_limited=self._limited("NVML_PERF_POLICY_THERMAL"),
            processes=self._ask(
                # without a version the bindings raise an error that is no NVMLError where the driver is older
                lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses_v3(gpu)),
                lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses_v2(gpu)),  # of drivers before 510
            ),
        )

    def joules(self) -> float | None:
        """Return the energy in joules since the driver was loaded.

        None before Volta, and of a GPU that is divided into instances (MIG), which only has a counter of all together.
        """
        if self._is_divided():
            return None
        return self._ask(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3)

    def _is_divided(self) -> bool:
        """Whether it is a GPU of which CUDA shows one instance alone. An instance itself does not tell the mode."""
        return self._ask(lambda: int(self._nvml.nvmlDeviceGetMigMode(self._handle)[0])) == _MIG_ENABLED

    def _limited(self, policy: str) -> float | None:
        nvml = self._nvml
        return self._ask(
            lambda: nvml.nvmlDeviceGetViolationStatus(self._handle, getattr(nvml, policy)).violationTime / 1e9
        )

    def _ask(self, *questions: Callable[[], T]) -> T | None:
        """Return the first answer. None where GPU, driver or bindings have none, or must not tell."""
        for question in questions:
            with suppress(self._nvml.NVMLError, AttributeError):
                return question()
        return None


def open_gpu(index: int, environment: Mapping[str, str] = os.environ) -> Gpu:
    """Open the GPU that CUDA calls `cuda:index`. Raise `NotAvailable` where there is no NVML or no such GPU.

    CUDA_VISIBLE_DEVICES is followed. NVML counts by PCI address; CUDA does where all GPUs are alike, or with
    CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    try:
        import pynvml
    except ImportError:
        raise PackageMissing("NVML needs the package nvidia-ml-py", "pip install nvidia-ml-py") from None
    visible = [name.strip() for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    if visible and index >= len(visible):
        raise NotAvailable(f"CUDA_VISIBLE_DEVICES must show the GPU {index}, found {','.join(visible):.60}")
    name = visible[index] if visible else str(index)
    try:
        pynvml.nvmlInit()
        is_index = name.isascii() and name.isdecimal() and len(name) <= _MOST_DIGITS
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(name)) if is_index else _by_uuid(pynvml, name)
    except (pynvml.NVMLError, ValueError) as error:  # the latter where a name is no text
        raise NotAvailable(f"NVML finds no GPU {name:.60}: {error}") from None
    return Gpu(pynvml, handle)


def _by_uuid(nvml: Any, name: str) -> object:
    """Return the GPU, or the instance of one (MIG), of that UUID. CUDA takes its first digits too, NVML does not.

    After "CUDA_VISIBLE_DEVICES", CUDA C++ Programming Guide, environment variables.
    """
    try:
        return nvml.nvmlDeviceGetHandleByUUID(name)
    except nvml.NVMLError:
        gpus = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
        found = [gpu for gpu in gpus if nvml.nvmlDeviceGetUUID(gpu).startswith(name)]
        if len(found) != 1:
            raise
        return found[0]
