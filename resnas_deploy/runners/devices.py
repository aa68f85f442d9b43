"""Where a network runs: device strings, and why a runner cannot use a device here.

The NVIDIA GPUs are asked of the driver itself: no package is needed to know that there is none. The driver honours
CUDA_VISIBLE_DEVICES, so numbers and names are those that the runtimes see. A problem is a phrase for a message, or
None; packages are imported only to look for one.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
from functools import cache
from typing import TYPE_CHECKING, Any

from resnas_deploy.errors import BadInput, PackageMissing, shown
from resnas_deploy.processes.quiet import import_quietly

if TYPE_CHECKING:
    import torch

CPU, CUDA = "cpu", "cuda"  # kinds of device
CPU_PROVIDER, CUDA_PROVIDER, TENSORRT_PROVIDER = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))
_MAX_INDEX_DIGITS = 4  # of a device: more is no number of a GPU, and int() refuses thousands
CUDA_PYTHON = "cuda.bindings.runtime"  # of the package cuda-bindings, which cuda-python is made of
_DRIVER = "libcuda.so.1"
_NAME_BYTES = 256


def parse_device(text: str) -> str | None:
    """Return `cpu`, or `cuda:N` for `cuda` and `cuda:N`; None for any other text."""
    kind, colon, number = text.partition(":")
    if kind not in (CPU, CUDA) or (kind == CPU and colon):
        return None
    is_number = number.isascii() and number.isdecimal() and len(number) <= _MAX_INDEX_DIGITS
    if colon and not is_number:
        return None
    return CPU if kind == CPU else f"{CUDA}:{int(number or 0)}"


def device_kind(device: str) -> str:
    """Return the kind of a device: `CPU` or `CUDA`."""
    return device.partition(":")[0]


def is_gpu(device: str) -> bool:
    """Whether a device is a GPU."""
    return device_kind(device) == CUDA


def index(device: str) -> int:
    """Return the number of the GPU `cuda:N`, 0 of `cuda`."""
    return int(device.partition(":")[2] or 0)


def device_name(device: str) -> str:
    """Return the device for tables: `cpu`, or `cuda:N` and the GPU's name."""
    return f"{device} {gpus()[index(device)]}" if is_gpu(device) else device


def gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that this process may use, by number; none where there is no driver."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(_name(driver, number) for number in range(count.value))


def _name(driver: ctypes.CDLL, number: int) -> str:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    if driver.cuDeviceGet(ctypes.byref(device), number) or driver.cuDeviceGetName(name, _NAME_BYTES, device):
        return "unknown GPU"
    return name.value.decode(errors="replace")


def no_problem(device: str) -> None:
    """Find nothing in the way, as of what any machine can run."""
    del device


def gpu_problem(device: str) -> str | None:
    """Say why nothing can run on a GPU `cuda:N` here; the CPU is always here."""
    if not is_gpu(device):
        return None
    found = gpus()
    if not found:
        return "no NVIDIA GPU was found here"
    if index(device) >= len(found):
        names = ", ".join(device_name(f"{CUDA}:{number}") for number in range(len(found)))
        return f"there is no {device} here, found {len(found)} GPU{'s' if len(found) > 1 else ''}: {names}"
    return None


def torch_problem(device: str) -> str | None:
    """Say why PyTorch cannot use a device."""
    if not is_gpu(device):
        return None
    if problem := gpu_problem(device):
        return problem
    import torch

    if torch.cuda.is_available():
        return None
    return (
        f"this PyTorch {torch.__version__} cannot use the GPU; "
        "a build that can is installed by: pip install --force-reinstall torch"
    )


def compiled_torch_problem(device: str) -> str | None:
    """Say why PyTorch cannot compile for a device. For a GPU, what calls the kernels is compiled C++ too."""
    if problem := torch_problem(device):
        return problem
    compiler = os.environ.get("CXX") or "g++"  # as torch._inductor chooses
    if shutil.which(compiler) is None:
        return f"PyTorch compiles with {compiler}, and that was not found (apt-get install g++, or name another in CXX)"
    if is_gpu(device) and importlib.util.find_spec("triton") is None:
        return "PyTorch compiles for a GPU with the package triton, and that is not installed (pip install triton)"
    return None


def provider_problem(provider: str, device: str) -> str | None:
    """Say why this build of ONNX Runtime cannot use an execution provider."""
    del device
    if provider in import_quietly("onnxruntime").get_available_providers():
        return None
    return f"this build of ONNX Runtime has no {provider}"


@cache
def openvino_core() -> Any:
    """Return the `Core` that everything uses and nothing closes.

    The CPU plugin of each sets the stack that signals are handled on, and sets the one before back when it goes. Where
    the first of two goes first, the stack that stays is one that was freed, and the next signal ends the process
    (seen in OpenVINO 2026.4).
    """
    return import_quietly("openvino").Core()


def capabilities() -> set[str]:
    """Return what this CPU has instructions for, by OpenVINO's names: `FP32`, `BF16`, .."""
    return set(openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def bf16_problem(device: str) -> str | None:
    """Say why this CPU cannot compute in bf16. Told to all the same, OpenVINO would compute in fp32."""
    del device
    found = capabilities()
    if "BF16" in found:
        return None
    return f"this CPU cannot compute in bf16, OpenVINO found only {', '.join(sorted(found))}"


def check_torch(what: str) -> None:
    """Raise `PackageMissing` where PyTorch is not installed, which `what` needs."""
    if importlib.util.find_spec("torch") is None:
        raise PackageMissing(f"{what} needs the package torch", "pip install torch")


def torch_device(name: str, local_rank: int = 0, *, field: str = "device") -> torch.device:
    """Return PyTorch's device of that name; of "" a GPU where PyTorch has one. Raise `BadInput`.

    Of several processes of one machine each takes the GPU of its own number, `local_rank`.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name in ("", CUDA) and there:
        return torch.device(CUDA, local_rank % there)
    if name in ("", CPU):
        return torch.device(CPU)
    found = parse_device(name)
    if found is None or index(found) >= there:
        gpus = f"cuda:N with N below {there} (the GPUs here)" if there else "cuda:N (PyTorch has no GPU here)"
        raise BadInput(f"`{field}` must be cpu, cuda or {gpus}, found {shown(name)}")
    return torch.device(found)


def memory_problem(device: str) -> str | None:
    """Say why no memory of a GPU can be allocated here; of machines without that GPU, nothing."""
    if gpu_problem(device) or has_cuda_python() or torch_has_cuda():
        return None
    return "memory of a GPU is allocated by PyTorch with CUDA or by cuda-python, and neither is installed"


def has_cuda_python() -> bool:
    """Whether the package is installed, which is not imported for it."""
    try:
        return importlib.util.find_spec(CUDA_PYTHON) is not None
    except ModuleNotFoundError:  # of its parents
        return False


def torch_has_cuda() -> bool:
    """Whether PyTorch is installed and can use a GPU."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
