"""NVIDIA's driver, asked for the GPUs that it shows this process. No package is needed for it.

Functions, codes and the numbers of attributes are those of the CUDA Driver API (device management, `CUdevice_attribute`
in cuda.h): https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__DEVICE.html.
"""

from __future__ import annotations

import ctypes

LIBRARY = "libcuda.so.1"
_NAME_BYTES = 256
_MAJOR, _MINOR, _L2_BYTES = 75, 76, 38  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR, .._L2_CACHE_SIZE


def names() -> tuple[str, ...]:
    """Return the names of the GPUs, by number; none where there is no driver."""
    count = ctypes.c_int()
    driver = _driver()
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(_name(driver, number) for number in range(count.value))


def capability(number: int) -> str | None:
    """Return the compute capability of a GPU, `90` for 9.0; None where it is not known."""
    major, minor = _attribute(number, _MAJOR), _attribute(number, _MINOR)
    return None if major is None or minor is None else f"{major}{minor}"


def l2_bytes(number: int) -> int | None:
    """Return the size of a GPU's last-level cache; None where it is not known."""
    return _attribute(number, _L2_BYTES) or None


def _driver() -> ctypes.CDLL | None:
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    return None if driver.cuInit(0) else driver


def _name(driver: ctypes.CDLL, number: int) -> str:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    if driver.cuDeviceGet(ctypes.byref(device), number) or driver.cuDeviceGetName(name, _NAME_BYTES, device):
        return "unknown GPU"
    return name.value.decode(errors="replace")


def _attribute(number: int, which: int) -> int | None:
    driver, device, value = _driver(), ctypes.c_int(), ctypes.c_int()
    if driver is None or driver.cuDeviceGet(ctypes.byref(device), number):
        return None
    return None if driver.cuDeviceGetAttribute(ctypes.byref(value), which, device) else value.value
