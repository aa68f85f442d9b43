"""The NVIDIA GPUs that are here, asked of the driver itself: no package is needed to know that there is none.

The driver honours CUDA_VISIBLE_DEVICES, so numbers and names are those that the runtimes see.
"""

from __future__ import annotations

import ctypes
import importlib.util
from typing import TYPE_CHECKING

from resnas_deploy.errors import BadInput, PackageMissing, shown, whole_number
from resnas_deploy.runners.base import CPU, CUDA

if TYPE_CHECKING:
    import torch

_DRIVER = "libcuda.so.1"
_NAME_BYTES = 256


def gpus() -> tuple[str, ...]:
    """The names of the GPUs that this process may use, by number; none where there is no driver."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(_name(driver, number) for number in range(count.value))


def gpu_problem(device: str) -> str | None:
    """Why nothing can run on a device `cuda:N` here, or None. Any other device is no matter of this module."""
    if not device.startswith(CUDA):
        return None
    found = gpus()
    if not found:
        return "no NVIDIA GPU was found here"
    if index(device) >= len(found):
        names = ", ".join(device_name(f"{CUDA}:{number}") for number in range(len(found)))
        return f"there is no {device} here, found {len(found)} GPU{'s' if len(found) > 1 else ''}: {names}"
    return None


def device_name(device: str) -> str:
    """The device for tables: `cpu`, or `cuda:N` and the GPU's name."""
    return f"{device} {gpus()[index(device)]}" if device.startswith(CUDA) else device


def index(device: str) -> int:
    """The number of the GPU `cuda:N`."""
    return int(device.partition(":")[2])


def check_torch(what: str) -> None:
    """Raise `PackageMissing` where PyTorch is not installed, which `what` needs."""
    if importlib.util.find_spec("torch") is None:
        raise PackageMissing(f"{what} needs the package torch", "pip install torch")


def torch_device(name: str, local_rank: int = 0) -> torch.device:
    """Return PyTorch's device of that name; of "" a GPU where PyTorch has one. Raises `BadInput`.

    Of several processes of one machine each takes the GPU of its own number, `local_rank`.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name in ("", CUDA) and there:
        return torch.device(CUDA, local_rank % there)
    if name in ("", CPU):
        return torch.device(CPU)
    number = whole_number(name.removeprefix(f"{CUDA}:")) if name != CUDA else 0
    if not name.startswith(CUDA) or number is None or number >= there:
        raise BadInput(
            f"`device` must be cpu, cuda or cuda:N with N below {there} (the GPUs here), found {shown(name)}"
        )
    return torch.device(CUDA, number)


def _name(driver: ctypes.CDLL, number: int) -> str:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    if driver.cuDeviceGet(ctypes.byref(device), number) or driver.cuDeviceGetName(name, _NAME_BYTES, device):
        return "unknown GPU"
    return name.value.decode(errors="replace")
