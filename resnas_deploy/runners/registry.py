"""The runners by name, as data. A runtime is imported when one of its runners is opened, not before."""

from __future__ import annotations

from functools import partial

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.precision import FLOATS, QUANTISED
from resnas_deploy.runners.base import Opener, RunnerKind
from resnas_deploy.runners.devices import (
    CPU,
    CUDA,
    CUDA_PROVIDER,
    TENSORRT_PROVIDER,
    bf16_problem,
    compiled_torch_problem,
    gpu_problem,
    kind_of,
    provider_problem,
    torch_problem,
)

_NATIVE = "computed in it"
_WIDENED = "computed in fp32 around fp16 weights and activations"
_HARDWARE = "computed in it where the CPU can, else in fp32"
_PRODUCTS = "products with weights computed in it"
_ROUNDED = "computed in fp32 on values rounded to it"
_ALL = dict.fromkeys(FLOATS, _NATIVE)
_ENGINES = _ALL | dict.fromkeys(QUANTISED, _PRODUCTS)
_ORT_CPU = {"fp32": _NATIVE, "fp16": _WIDENED, "int8": _PRODUCTS, "fp8": _ROUNDED}
_WIDE = tuple(name for name, how in _ORT_CPU.items() if how in (_WIDENED, _ROUNDED))

RUNNERS = {
    kind.name: kind
    for kind in (
        RunnerKind(
            "ort-cpu",
            "ONNX Runtime on the CPU",
            module="onnxruntime",
            install="pip install onnxruntime",
            precisions=_ORT_CPU,
            open_network=Opener("ort:OrtRunner", {"name": "ort-cpu", "widened": _WIDE}),
        ),
        RunnerKind(
            "ort-cuda",
            "ONNX Runtime on an NVIDIA GPU",
            module="onnxruntime",
            install="pip uninstall -y onnxruntime && pip install onnxruntime-gpu",
            precisions={"fp32": _NATIVE, "fp16": _NATIVE},
            open_network=Opener("ort_gpu:OrtGpuRunner", {"name": "ort-cuda", "provider": CUDA_PROVIDER}),
            device_problem=gpu_problem,
            build_problem=partial(provider_problem, CUDA_PROVIDER),
            devices=(CUDA,),
        ),
        RunnerKind(
            "ort-tensorrt",
            "ONNX Runtime with TensorRT on an NVIDIA GPU",
            module="onnxruntime",
            install="pip uninstall -y onnxruntime && pip install onnxruntime-gpu 'tensorrt>=10.15,<11'",
            precisions=_ALL,
            open_network=Opener("ort_gpu:OrtGpuRunner", {"name": "ort-tensorrt", "provider": TENSORRT_PROVIDER}),
            device_problem=gpu_problem,
            build_problem=partial(provider_problem, TENSORRT_PROVIDER),
            devices=(CUDA,),
        ),
        RunnerKind(
            "tensorrt",
            "TensorRT engines (resnas build --target tensorrt)",
            module="tensorrt",
            install="pip install 'tensorrt>=10.15,<12' torch",
            precisions=_ENGINES,
            open_network=Opener("tensorrt:TensorRTRunner", {"name": "tensorrt", "module": "tensorrt"}),
            engine="tensorrt",
            device_problem=torch_problem,
            devices=(CUDA,),
        ),
        RunnerKind(
            "tensorrt-rtx",
            "TensorRT for RTX engines (resnas build)",
            module="tensorrt_rtx",
            install="pip install tensorrt-rtx-cu13 torch",
            precisions=_ENGINES,
            open_network=Opener("tensorrt:TensorRTRunner", {"name": "tensorrt-rtx", "module": "tensorrt_rtx"}),
            engine="tensorrt-rtx",
            device_problem=torch_problem,
            devices=(CUDA,),
        ),
        RunnerKind(
            "openvino",
            "OpenVINO on the CPU",
            module="openvino",
            install="pip install openvino",
            precisions={"fp32": _NATIVE, "fp16": _HARDWARE, "bf16": _HARDWARE, "int8": _PRODUCTS},
            open_network=Opener("openvino:OpenVinoRunner", {"name": "openvino"}),
        ),
        RunnerKind(
            "openvino-bf16",
            "OpenVINO on the CPU, told to compute in bf16",
            module="openvino",
            install="pip install openvino",
            precisions={"fp32": "computed in bf16", "bf16": _NATIVE},
            open_network=Opener("openvino:OpenVinoRunner", {"name": "openvino-bf16", "computes": "bf16"}),
            device_problem=bf16_problem,
        ),
        RunnerKind(
            "torch",
            "PyTorch, eager (runs the weights, not the graph)",
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            open_network=Opener("torch:EagerRunner"),
            device_problem=torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
        RunnerKind(
            "torch-compile",
            "PyTorch, compiled for each batch size (runs the weights)",
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            open_network=Opener("torch_compiled:CompiledRunner"),
            device_problem=compiled_torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
        RunnerKind(
            "aoti",
            "PyTorch, exported and compiled ahead of time by AOTInductor (runs the weights)",
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            open_network=Opener("torch_compiled:AotiRunner"),
            device_problem=compiled_torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
    )
}


def runner_kind(name: str) -> RunnerKind:
    """Return the runner of that name. Raises `BadInput` that lists the known ones."""
    if name not in RUNNERS:
        raise BadInput(f"a runner must be one of {', '.join(RUNNERS)}, found {shown(name)}")
    return RUNNERS[name]


def default_runner(*precisions: str, runs_graph: bool = False, device: str = "") -> RunnerKind:
    """Return the runner for work that names none: ONNX Runtime, or OpenVINO for what it has no kernels for.

    Where several precisions are to be run, it is one that can run them all; with `runs_graph`, one that runs graphs and
    not the weights. It is one for the CPU unless a device is asked for. Raises `BadInput` where there is none.
    """
    where = kind_of(device) or CPU
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


def graph_runner(name: str, precision: str, device: str = "") -> RunnerKind:
    """Return the runner of that name, or the default of those that run graphs. Raises `BadInput` for unknown names."""
    return runner_kind(name) if name else default_runner(precision, runs_graph=True, device=device)
