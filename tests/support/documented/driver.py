"""A library with the functions of NVIDIA's driver that the package calls, compiled here, for machines without a GPU.

Signatures, codes and attributes are those of the CUDA Driver API,
https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__DEVICE.html and cuda.h: every function but `cuInit` answers
CUDA_ERROR_NOT_INITIALIZED (3) before `cuInit`, which answers CUDA_ERROR_NO_DEVICE (100) where there is none; an ordinal
that is none is CUDA_ERROR_INVALID_DEVICE (101), an attribute that is none CUDA_ERROR_INVALID_VALUE (1); a name is cut
to the buffer and ends with a zero.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from resnas_deploy.runners import driver

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")
_CODE = """
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
enum { SUCCESS = 0, INVALID_VALUE = 1, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101 };
typedef struct { const char *name; int major, minor, l2; } Gpu;
static const Gpu gpus[] = { GPUS { 0, 0, 0, 0 } };
static const int count = sizeof gpus / sizeof gpus[0] - 1;
static int ready = 0;
int cuInit(unsigned flags) {
    if (flags) return INVALID_VALUE;
    if (FAILS || !count) return FAILS ? FAILS : NO_DEVICE;
    ready = 1;
    return SUCCESS;
}
int cuDeviceGetCount(int *found) {
    if (!ready) return NOT_INITIALIZED;
    *found = count;
    return SUCCESS;
}
int cuDeviceGet(int *device, int ordinal) {
    if (!ready) return NOT_INITIALIZED;
    if (ordinal < 0 || ordinal >= count) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}
int cuDeviceGetName(char *name, int size, int device) {
    if (!ready) return NOT_INITIALIZED;
    if (device < 0 || device >= count) return INVALID_DEVICE;
    if (!gpus[device].name[0]) return INVALID_VALUE;
    strncpy(name, gpus[device].name, size - 1);
    name[size - 1] = 0;
    return SUCCESS;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (!ready) return NOT_INITIALIZED;
    if (device < 0 || device >= count) return INVALID_DEVICE;
    switch (attribute) {
        case 75: *value = gpus[device].major; return SUCCESS;
        case 76: *value = gpus[device].minor; return SUCCESS;
        case 38: *value = gpus[device].l2; return SUCCESS;
    }
    return INVALID_VALUE;
}
#ifdef __cplusplus
}
#endif
"""


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver tells of it. Names and sizes are of NVIDIA's product pages."""

    name: str
    capability: str
    l2_bytes: int = 0


T4 = Gpu("Tesla T4", "75", 4 << 20)
A100 = Gpu("NVIDIA A100-SXM4-80GB", "80", 40 << 20)
L4 = Gpu("NVIDIA L4", "89", 48 << 20)
H200 = Gpu("NVIDIA H200", "90", 50 << 20)
B200 = Gpu("NVIDIA B200", "100")
GB10 = Gpu("NVIDIA GB10", "121", 24 << 20)


def compiled(folder: Path, name: str, code: str) -> Path:
    """Compile a shared library. Skip the test where there is no compiler."""
    if COMPILER is None:
        pytest.skip("no C compiler is here")
    source, library = folder / f"{name}.c", folder / name
    source.write_text(code)
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O0", "-o", library, source], check=True, timeout=60)
    return library


def driver_of(folder: Path, *gpus: Gpu, fails: int = 0) -> Path:
    """Compile the driver of a machine with these GPUs; `fails` is what its `cuInit` answers."""
    rows = [
        f'{{ "{gpu.name}", {int(gpu.capability) // 10}, {int(gpu.capability) % 10}, {gpu.l2_bytes} }},' for gpu in gpus
    ]
    return compiled(folder, driver.LIBRARY, _CODE.replace("GPUS", " ".join(rows)).replace("FAILS", str(fails)))


def load_instead(monkeypatch: Any, name: str, library: Path) -> None:
    """Let a library of that name be another one, for `ctypes`."""
    load = ctypes.CDLL

    def instead(asked: Any, *rest: Any, **more: Any) -> ctypes.CDLL:
        return load(library if asked == name else asked, *rest, **more)

    monkeypatch.setattr(ctypes, "CDLL", instead)


def machine_of(monkeypatch: Any, folder: Path, *gpus: Gpu, fails: int = 0) -> None:
    """Let this process find the driver of a machine with these GPUs."""
    load_instead(monkeypatch, driver.LIBRARY, driver_of(folder, *gpus, fails=fails))
