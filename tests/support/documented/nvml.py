"""NVIDIA's management library, compiled here, for the real bindings (`pynvml`, of nvidia-ml-py) to load.

After the NVML API reference, https://docs.nvidia.com/deploy/nvml-api/ (device queries; nvmlReturn_t; multi-instance GPU
management): handles are pointers; a query that a GPU lacks is NVML_ERROR_NOT_SUPPORTED (3), before `nvmlInit` it is
NVML_ERROR_UNINITIALIZED (1); an instance of a divided GPU is found by its `MIG-..` UUID and tells neither energy nor
power, clocks or temperature; processes are counted first and told to an array that is large enough; energy is in
millijoules, power in milliwatts, times of violations in nanoseconds. What an old driver lacks is no symbol of it, which
the bindings tell as "Function Not Found".
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.documented.driver import compiled, load_instead

LIBRARY = "libnvidia-ml.so.1"
_CODE = """
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef unsigned long long u64;
typedef struct { const char *uuid; int instance, divided, volta, processes; u64 reasons, energy; } Gpu;
static Gpu gpus[] = { GPUS };
static const unsigned count = sizeof gpus / sizeof gpus[0];
static int ready = 0;
enum { SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
#define QUERY(gpu) if (!ready) return UNINITIALIZED; if (!(gpu)) return INVALID_ARGUMENT
#define WHOLE(gpu) QUERY(gpu); if ((gpu)->instance) return NOT_SUPPORTED
int nvmlInitWithFlags(unsigned flags) { if (FAILS) return FAILS; ready = 1; return SUCCESS; }
int nvmlShutdown(void) { ready = 0; return SUCCESS; }
const char *nvmlErrorString(int code) { return "GPU access blocked by the operating system"; }
int nvmlDeviceGetCount_v2(unsigned *found) {
    if (!ready) return UNINITIALIZED;
    *found = 0;
    for (unsigned i = 0; i < count; i++) *found += !gpus[i].instance;
    return SUCCESS;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **gpu) {
    if (!ready) return UNINITIALIZED;
    for (unsigned i = 0; i < count; i++)
        if (!gpus[i].instance && !index--) { *gpu = &gpus[i]; return SUCCESS; }
    return INVALID_ARGUMENT;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Gpu **gpu) {
    if (!ready) return UNINITIALIZED;
    for (unsigned i = 0; i < count; i++) if (!strcmp(gpus[i].uuid, uuid)) { *gpu = &gpus[i]; return SUCCESS; }
    return NOT_FOUND;
}
int nvmlDeviceGetUUID(Gpu *gpu, char *uuid, unsigned size) {
    QUERY(gpu);
    if (strlen(gpu->uuid) >= size) return INSUFFICIENT_SIZE;
    strcpy(uuid, gpu->uuid);
    return SUCCESS;
}
int nvmlDeviceGetMigMode(Gpu *gpu, unsigned *now, unsigned *pending) {
    WHOLE(gpu);
    if (gpu->divided < 0) return NOT_SUPPORTED;
    *now = *pending = gpu->divided;
    return SUCCESS;
}
int nvmlDeviceGetClockInfo(Gpu *gpu, int kind, unsigned *mhz) { WHOLE(gpu); *mhz = kind == 1 ? 1980 : 2619; return 0; }
int nvmlDeviceGetPowerUsage(Gpu *gpu, unsigned *mw) { WHOLE(gpu); *mw = 312500; return SUCCESS; }
int nvmlDeviceGetTotalEnergyConsumption(Gpu *gpu, u64 *mj) {
    WHOLE(gpu);
    if (!gpu->volta) return NOT_SUPPORTED;
    *mj = gpu->energy;
    gpu->energy += 1500;
    return SUCCESS;
}
typedef struct { unsigned version; int sensor, celsius; } Temperature;
#ifdef NEW
int nvmlDeviceGetTemperatureV(Gpu *gpu, Temperature *found) {
    WHOLE(gpu);
    if (found->version != (sizeof(Temperature) | 1 << 24)) return 25;
    if (found->sensor) return INVALID_ARGUMENT;
    found->celsius = 61;
    return SUCCESS;
}
int nvmlDeviceGetCurrentClocksEventReasons(Gpu *gpu, u64 *bits) { WHOLE(gpu); *bits = gpu->reasons; return SUCCESS; }
#else
int nvmlDeviceGetTemperature(Gpu *gpu, int sensor, unsigned *celsius) { WHOLE(gpu); *celsius = 61; return SUCCESS; }
int nvmlDeviceGetCurrentClocksThrottleReasons(Gpu *gpu, u64 *bits) { WHOLE(gpu); *bits = gpu->reasons; return SUCCESS; }
#endif
typedef struct { u64 reference, violation; } Violation;
int nvmlDeviceGetViolationStatus(Gpu *gpu, int policy, Violation *found) {
    WHOLE(gpu);
    if (policy > 1) return NOT_SUPPORTED;
    found->reference = 1;
    found->violation = policy ? 250000000ull : 2500000000ull;
    return SUCCESS;
}
typedef struct { unsigned pid; u64 memory; unsigned instance, compute; } Process;
int PROCESSES(Gpu *gpu, unsigned *size, Process *found) {
    QUERY(gpu);
    unsigned have = gpu->processes, room = *size;
    *size = have;
    if (room < have) return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < have; i++) { found[i].pid = 100 + i; found[i].memory = 1ull << 30; }
    return SUCCESS;
}
#ifdef __cplusplus
}
#endif
"""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or an instance of one, as NVML tells of it."""

    uuid: str
    instance: bool = False  # of a GPU that is divided
    divided: int = 0  # the MIG mode; -1 of GPUs that have none
    volta: bool = True  # or later
    processes: int = 0
    reasons: int = 0
    millijoules: int = 5000

    def row(self) -> str:
        """Return it as C."""
        numbers = (self.instance, self.divided, self.volta, self.processes, self.reasons, self.millijoules)
        return f'{{ "{self.uuid}", {", ".join(str(int(number)) for number in numbers)} }}'


def nvml_of(monkeypatch: Any, folder: Path, *gpus: Gpu, new: bool = True, fails: int = 0) -> ModuleType:
    """Let this process find NVML with these GPUs, by a driver of today or (not `new`) of before 510.

    Return the bindings, read anew. Skip the test where they are not installed. `fails` is what `nvmlInit` answers.
    """
    code = _CODE.replace("GPUS", ", ".join(gpu.row() for gpu in gpus)).replace("FAILS", str(fails))
    code = code.replace("PROCESSES", f"nvmlDeviceGetComputeRunningProcesses_v{3 if new else 2}")
    library = compiled(folder, LIBRARY, ("#define NEW\n" if new else "") + code)
    load_instead(monkeypatch, LIBRARY, library)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    module = importlib.import_module("pynvml")
    return module
