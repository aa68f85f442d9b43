"""Where a network runs: device strings, and why a runner cannot use a device here.

The NVIDIA GPUs are asked of the driver itself: no package is needed to know that there is none. The driver honours
CUDA_VISIBLE_DEVICES, so numbers and names are those that the runtimes see. A problem is a phrase for a message, or
None; packages are imported only to look for one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from functools import cache
from typing import TYPE_CHECKING, Any

from resnas_deploy.errors import BadInput, PackageMissing, shown
from resnas_deploy.precision import PRECISIONS
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.runners import driver

if TYPE_CHECKING:
    import torch

CPU, CUDA = "cpu", "cuda"  # kinds of device
CPU_PROVIDER, CUDA_PROVIDER, TENSORRT_PROVIDER = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))
_MAX_INDEX_DIGITS = 4  # of a device: more is no number of a GPU, and int() refuses thousands
CUDA_PYTHON = "cuda.bindings.runtime"  # of the package cuda-bindings, which cuda-python is made of
# TensorRT for RTX 1.7: what its engines run on, and of these what a portable engine is for
# (https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/getting-started/support-matrix.html). The builder takes 8.0
# too, which no GPU that it supports has.
RTX_CAPABILITIES = ("75", "86", "89", "120", "121")
PORTABLE_CAPABILITIES = ("86", "89", "120")
_LEAST_ORT = (1, 27)  # for GPUs: 1.23 and 1.24 lack CUDA kernels of Attention and of Pad as the graphs have them


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
    return driver.names()


def capability(device: str) -> str | None:
    """Return the compute capability of a GPU, `90` for 9.0; None of the CPU, and where the driver does not tell."""
    return driver.capability(index(device)) if is_gpu(device) else None


def cache_bytes(device: str) -> int | None:
    """Return the size of a GPU's last-level cache; None of the CPU, and where the driver does not tell."""
    return driver.l2_bytes(index(device)) if is_gpu(device) else None


def dotted(capability: str) -> str:
    """Write `89` as `8.9`."""
    return f"{capability[:-1]}.{capability[-1]}"


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


def rtx_problem(device: str) -> str | None:
    """Say why no engine of TensorRT for RTX can run on a GPU `cuda:N` here."""
    return gpu_problem(device) or unfit_for_rtx(device)


def unfit_for_rtx(device: str) -> str | None:
    """Say why no engine of TensorRT for RTX runs on a GPU that is here; where its capability is unknown, nothing."""
    found = capability(device)
    if found is None or found in RTX_CAPABILITIES:
        return None
    known = ", ".join(map(dotted, RTX_CAPABILITIES))
    name = device_name(device).partition(" ")[2]
    return f"TensorRT for RTX runs on compute capability {known}, found {name} ({dotted(found)}); use tensorrt"


def precision_problem(precision: str, device: str) -> str | None:
    """Say why a GPU does not compute in a precision, or would only imitate it; where it is unknown, nothing."""
    found, least = capability(device), PRECISIONS[precision].capability
    if found is None or int(found) >= least:
        return None
    name = device_name(device).partition(" ")[2]
    return (
        f"{precision} needs a GPU of compute capability {dotted(str(least))} or above, found {name} ({dotted(found)})"
    )


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
    """Say why this build of ONNX Runtime cannot use an execution provider of a GPU."""
    del device
    ort = import_quietly("onnxruntime")
    if provider not in ort.get_available_providers():
        return f"this build of ONNX Runtime has no {provider}"
    if tuple(map(int, ort.__version__.split(".")[:2])) < _LEAST_ORT:
        return f"ONNX Runtime must be {'.'.join(map(str, _LEAST_ORT))} or later, found {ort.__version__}"
    return None


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
    if gpu_problem(device) or has_memory():
        return None
    return "memory of a GPU is allocated by PyTorch with CUDA or by cuda-python, and neither is installed"


def has_memory() -> bool:
    """Whether a package is here that allocates memory of a GPU, where there is one."""
    return has_cuda_python() or torch_has_cuda()


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
