"""The step that looks at what is here: the device, the packages, the runners, and how to get what is missing."""

from __future__ import annotations

from importlib.util import find_spec

from resnas_deploy.errors import first_line
from resnas_deploy.progress import Progress
from resnas_deploy.runners.devices import capability, device_kind, device_name, dotted, is_gpu
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.surveying.results import Absent, Here, Outcome
from resnas_deploy.surveying.task import Task

# Packages that no runner names: module, what is missing without it, the command that gets it.
_OTHERS = (
    ("triton", "the reduction's kernel, and compiling for a GPU", "pip install triton"),
    ("pynvml", "clocks, power and energy", "pip install nvidia-ml-py"),
    ("transformers", "DeiT-B as transformers makes it; PyTorch's own stands in for it", "pip install transformers"),
    ("onnxscript", "DeiT-B as a graph", "pip install onnxscript"),
    ("onnxruntime", "quantised graphs", "pip install onnxruntime"),
    ("pytest", "the tests of a checkout", "pip install pytest"),
)


def run(task: Task, progress: Progress) -> Outcome:
    """Look at it."""
    progress("asking each runner whether it can run here")
    runners, absent = [], []
    for kind in RUNNERS.values():
        if device_kind(task.device) not in kind.devices:
            continue
        try:
            problem = kind.problem(task.device)
            remedy = kind.remedy(task.device) if problem else ""
        except Exception as error:  # noqa: BLE001  of a package that is there and cannot be imported
            problem, remedy = f"{type(error).__name__}: {first_line(error)}", kind.install
        if problem is None:
            runners.append(kind.name)
        else:
            absent.append(Absent(kind.name, problem, remedy))
    for module, purpose, install in _OTHERS:
        if find_spec(module) is None and (is_gpu(task.device) or module != "pynvml"):
            absent.append(Absent(module, f"not installed: {purpose}", install))
    name, found = device_name(task.device), capability(task.device) if is_gpu(task.device) else None
    return Outcome(
        here=Here(name, dotted(found) if found else None, *_by_torch(task.device), tuple(runners), tuple(absent))
    )


def _by_torch(device: str) -> tuple[int | None, str | None]:
    """Return the GPU's memory in bytes, and PyTorch's CUDA version, as far as it can tell."""
    if not is_gpu(device) or find_spec("torch") is None:
        return None, None
    import torch

    if not torch.cuda.is_available():
        return None, torch.version.cuda
    return int(torch.cuda.get_device_properties(device).total_memory), torch.version.cuda
