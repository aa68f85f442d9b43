"""The runners by name, as data. A runtime is imported when one of its runners is opened, not before."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.precision import FLOATS, QUANTISED
from resnas_deploy.runners.devices import (
    CPU,
    CUDA,
    CUDA_PROVIDER,
    TENSORRT_PROVIDER,
    bf16_problem,
    compiled_torch_problem,
    device_kind,
    gpu_problem,
    memory_problem,
    provider_problem,
    rtx_problem,
    torch_problem,
)
from resnas_deploy.runners.kind import CACHING, Opener, RunnerKind

# onnxruntime and onnxruntime-gpu are one module: where both are installed, either may be what is imported.
_INSTALL_GPU = "pip uninstall -y onnxruntime && pip install 'resnas[gpu]'"
_NATIVE = "computed in it"
_WIDENED = "computed in fp32 around fp16 weights and activations"
_HARDWARE = "computed in it where the CPU can, else in fp32"
_PRODUCTS = "products with weights computed in it"
_ROUNDED = "computed in fp32 on values rounded to it"
_ALL = dict.fromkeys(FLOATS, _NATIVE)
_ENGINES = _ALL | dict.fromkeys(QUANTISED, _PRODUCTS)
_ORT_CPU = {"fp32": _NATIVE, "fp16": _WIDENED, "int8": _PRODUCTS, "fp8": _ROUNDED}
# Inductor times Triton's and the libraries' kernels on each product and keeps the fastest. Its own capture of CUDA
# graphs is left out (https://docs.pytorch.org/docs/stable/generated/torch.compile.html): `Options.cuda_graph` says
# whether there is one, for this runner as for all others.
_MAX_AUTOTUNE = "max-autotune-no-cudagraphs"
_WIDE = tuple(name for name, how in _ORT_CPU.items() if how in (_WIDENED, _ROUNDED))


def _kind(
    name: str, summary: str, path: str, parameters: Mapping[str, object] | None = None, **rest: Any
) -> RunnerKind:
    """Return a runner of the class `path`, which is told its name."""
    return RunnerKind(name, summary, open_network=Opener(path, {"name": name, **(parameters or {})}), **rest)


RUNNERS = {
    kind.name: kind
    for kind in (
        _kind(
            "ort-cpu",
            "ONNX Runtime on the CPU",
            "ort:OrtRunner",
            {"widened": _WIDE},
            module="onnxruntime",
            install="pip install onnxruntime",
            precisions=_ORT_CPU,
        ),
        _kind(
            "ort-cuda",
            "ONNX Runtime on an NVIDIA GPU",
            "ort_gpu:OrtGpuRunner",
            {"provider": CUDA_PROVIDER},
            module="onnxruntime",
            install=_INSTALL_GPU,
            precisions={"fp32": _NATIVE, "fp16": _NATIVE},
            device_problem=gpu_problem,
            build_problem=partial(provider_problem, CUDA_PROVIDER),
            devices=(CUDA,),
        ),
        _kind(
            CACHING,
            "ONNX Runtime with TensorRT on an NVIDIA GPU",
            "ort_gpu:OrtGpuRunner",
            {"provider": TENSORRT_PROVIDER},
            module="onnxruntime",
            install=_INSTALL_GPU,
            precisions=_ALL,
            device_problem=gpu_problem,
            build_problem=partial(provider_problem, TENSORRT_PROVIDER),
            caches=True,
            devices=(CUDA,),
        ),
        _kind(
            "tensorrt",
            "TensorRT engines, built where the artifact has none",
            "tensorrt:TensorRTRunner",
            {"module": "tensorrt"},
            module="tensorrt",
            install="pip install 'resnas[tensorrt]'",
            precisions=_ENGINES,
            engine="tensorrt",
            device_problem=gpu_problem,
            build_problem=memory_problem,
            devices=(CUDA,),
        ),
        _kind(
            "tensorrt-rtx",
            "TensorRT for RTX engines, built where the artifact has none",
            "tensorrt:TensorRTRunner",
            {"module": "tensorrt_rtx"},
            module="tensorrt_rtx",
            install="pip install 'resnas[rtx]'",
            precisions=_ENGINES,
            engine="tensorrt-rtx",
            device_problem=rtx_problem,
            build_problem=memory_problem,
            devices=(CUDA,),
        ),
        _kind(
            "openvino",
            "OpenVINO on the CPU",
            "openvino:OpenVinoRunner",
            module="openvino",
            install="pip install openvino",
            precisions={"fp32": _NATIVE, "fp16": _HARDWARE, "bf16": _HARDWARE, "int8": _PRODUCTS},
        ),
        _kind(
            "openvino-bf16",
            "OpenVINO on the CPU, told to compute in bf16",
            "openvino:OpenVinoRunner",
            {"computes": "bf16"},
            module="openvino",
            install="pip install openvino",
            precisions={"fp32": "computed in bf16", "bf16": _NATIVE, "int8": f"{_PRODUCTS}, the rest in bf16"},
            also_runs="openvino",
            device_problem=bf16_problem,
        ),
        _kind(
            "torch",
            "PyTorch, eager (runs the weights, not the graph)",
            "torch:EagerRunner",
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            device_problem=torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
        _kind(
            "torch-compile",
            "PyTorch, compiled for each batch size (runs the weights)",
            "torch_compiled:CompiledRunner",
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            device_problem=compiled_torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
        _kind(
            "torch-compile-max",
            "PyTorch, compiled for each batch size by max-autotune (runs the weights)",
            "torch_compiled:CompiledRunner",
            {"mode": _MAX_AUTOTUNE},
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            device_problem=compiled_torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
        _kind(
            "aoti",
            "AOTInductor packages, built where the artifact has none (run the weights)",
            "torch_compiled:AotiRunner",
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            engine="aoti",
            compiles=True,
            device_problem=compiled_torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
    )
}


def runner_kind(name: str, what: str = "a runner") -> RunnerKind:
    """Return the runner of that name. Raise `BadInput` that says what must be one, and lists the known ones."""
    if name not in RUNNERS:
        raise BadInput(f"{what} must be one of {', '.join(RUNNERS)}, found {shown(name)}")
    return RUNNERS[name]


def default_runner(*precisions: str, runs_graph: bool = False, device: str = "") -> RunnerKind:
    """Return the runner for work that names none: ONNX Runtime, or OpenVINO for what it has no kernels for.

    Where several precisions are to be run, it is one that can run them all; with `runs_graph`, one that runs graphs and
    not the weights. It is one for the CPU unless a device is asked for. Raise `BadInput` where there is none.
    """
    where = device_kind(device) or CPU
    candidates = [
        kind
        for kind in RUNNERS.values()
        if kind.precisions.keys() >= set(precisions) and where in kind.devices and (kind.runs_graph or not runs_graph)
    ]
    if not candidates:
        raise BadInput(
            "precision and device must be what a runner knows (`available_runners()` lists them), "
            f"found {', '.join(precisions)} on {where}"
        )
    return next((kind for kind in candidates if kind.problem() is None), candidates[0])


def graph_runner(name: str, precision: str, device: str = "", what: str = "`runner`") -> RunnerKind:
    """Return the runner of that name, or the default of those that run graphs. Raise `BadInput` for unknown names."""
    return runner_kind(name, what) if name else default_runner(precision, runs_graph=True, device=device)
