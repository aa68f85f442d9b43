"""The runners by name. A runtime is imported when one of its runners is asked for, not before."""

from __future__ import annotations

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.runners.base import CPU, CUDA, Network, Options, Runner, RunnerKind, always_here
from resnas_deploy.runners.compiler import compiler_problem
from resnas_deploy.runners.devices import gpu_problem


def _open_torch(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.torch import EagerRunner

    return EagerRunner(network, options)


def _open_torch_compile(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.torch_compiled import CompiledRunner

    return CompiledRunner(network, options)


def _open_aoti(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.torch_compiled import AotiRunner

    return AotiRunner(network, options)


def _open_ort_cpu(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.ort import CPU_PROVIDER, OrtRunner

    return OrtRunner("ort-cpu", [(CPU_PROVIDER, {})], network, options)


def _open_ort_cuda(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.ort import CUDA_PROVIDER
    from resnas_deploy.runners.ort_gpu import OrtGpuRunner

    return OrtGpuRunner("ort-cuda", CUDA_PROVIDER, network, options)


def _open_ort_tensorrt(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.ort import TENSORRT_PROVIDER
    from resnas_deploy.runners.ort_gpu import OrtGpuRunner

    return OrtGpuRunner("ort-tensorrt", TENSORRT_PROVIDER, network, options)


def _open_openvino(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.openvino import OpenVinoRunner

    return OpenVinoRunner("openvino", network, options)


def _open_openvino_bf16(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.openvino import OpenVinoRunner

    return OpenVinoRunner("openvino-bf16", network, options, computes="bf16")


def _open_tensorrt(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.tensorrt import TensorRTRunner

    return TensorRTRunner("tensorrt", "tensorrt", network, options)


def _open_tensorrt_rtx(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.tensorrt import TensorRTRunner

    return TensorRTRunner("tensorrt-rtx", "tensorrt_rtx", network, options)


def _torch_problem(device: str) -> str | None:
    if device == CPU:
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


def _compiled_torch_problem(device: str) -> str | None:
    return _torch_problem(device) or compiler_problem(device)


def _no_cuda_provider(device: str) -> str | None:
    del device
    from resnas_deploy.runners.ort import CUDA_PROVIDER, provider_problem

    return provider_problem(CUDA_PROVIDER)


def _no_tensorrt_provider(device: str) -> str | None:
    del device
    from resnas_deploy.runners.ort import TENSORRT_PROVIDER, provider_problem

    return provider_problem(TENSORRT_PROVIDER)


def _no_bf16(device: str) -> str | None:
    from resnas_deploy.runners.openvino import bf16_problem

    return bf16_problem(device)


_NATIVE = "computed in it"
_WIDENED = "computed in fp32 around fp16 weights and activations"
_HARDWARE = "computed in it where the CPU can, else in fp32"
_PRODUCTS = "products with weights computed in it"
_ROUNDED = "computed in fp32 on values rounded to it"
_ALL = {"fp32": _NATIVE, "fp16": _NATIVE, "bf16": _NATIVE}

_ENGINES = {**_ALL, "int8": _PRODUCTS, "fp8": _PRODUCTS}

RUNNERS = {
    kind.name: kind
    for kind in (
        RunnerKind(
            "ort-cpu",
            "ONNX Runtime on the CPU",
            module="onnxruntime",
            install="pip install onnxruntime",
            precisions={"fp32": _NATIVE, "fp16": _WIDENED, "int8": _PRODUCTS, "fp8": _ROUNDED},
            open_network=_open_ort_cpu,
            device_problem=always_here,
        ),
        RunnerKind(
            "ort-cuda",
            "ONNX Runtime on an NVIDIA GPU",
            module="onnxruntime",
            install="pip uninstall -y onnxruntime && pip install onnxruntime-gpu",
            precisions={"fp32": _NATIVE, "fp16": _NATIVE},
            open_network=_open_ort_cuda,
            device_problem=gpu_problem,
            build_problem=_no_cuda_provider,
            devices=(CUDA,),
        ),
        RunnerKind(
            "ort-tensorrt",
            "ONNX Runtime with TensorRT on an NVIDIA GPU",
            module="onnxruntime",
            install="pip uninstall -y onnxruntime && pip install onnxruntime-gpu 'tensorrt>=10.15,<11'",
            precisions=_ALL,
            open_network=_open_ort_tensorrt,
            device_problem=gpu_problem,
            build_problem=_no_tensorrt_provider,
            devices=(CUDA,),
        ),
        RunnerKind(
            "tensorrt",
            "TensorRT engines (resnas build --target tensorrt)",
            module="tensorrt",
            install="pip install 'tensorrt>=10.15,<12' torch",
            precisions=_ENGINES,
            open_network=_open_tensorrt,
            engine="tensorrt",
            device_problem=_torch_problem,
            devices=(CUDA,),
        ),
        RunnerKind(
            "tensorrt-rtx",
            "TensorRT for RTX engines (resnas build)",
            module="tensorrt_rtx",
            install="pip install tensorrt-rtx-cu13 torch",
            precisions=_ENGINES,
            open_network=_open_tensorrt_rtx,
            engine="tensorrt-rtx",
            device_problem=_torch_problem,
            devices=(CUDA,),
        ),
        RunnerKind(
            "openvino",
            "OpenVINO on the CPU",
            module="openvino",
            install="pip install openvino",
            precisions={"fp32": _NATIVE, "fp16": _HARDWARE, "bf16": _HARDWARE, "int8": _PRODUCTS},
            open_network=_open_openvino,
            device_problem=always_here,
        ),
        RunnerKind(
            "openvino-bf16",
            "OpenVINO on the CPU, told to compute in bf16",
            module="openvino",
            install="pip install openvino",
            precisions={"fp32": "computed in bf16", "bf16": _NATIVE},
            open_network=_open_openvino_bf16,
            device_problem=_no_bf16,
        ),
        RunnerKind(
            "torch",
            "PyTorch, eager (runs the weights, not the graph)",
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            open_network=_open_torch,
            device_problem=_torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
        RunnerKind(
            "torch-compile",
            "PyTorch, compiled for each batch size (runs the weights)",
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            open_network=_open_torch_compile,
            device_problem=_compiled_torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
        RunnerKind(
            "aoti",
            "PyTorch, exported and compiled ahead of time by AOTInductor (runs the weights)",
            module="torch",
            install="pip install torch",
            precisions=_ALL,
            open_network=_open_aoti,
            device_problem=_compiled_torch_problem,
            devices=(CPU, CUDA),
            runs_graph=False,
        ),
    )
}


def runner_kind(name: str) -> RunnerKind:
    """The runner of that name. Raises `BadInput` that lists the known ones."""
    if name not in RUNNERS:
        raise BadInput(f"a runner must be one of {', '.join(RUNNERS)}, found {shown(name)}")
    return RUNNERS[name]


def default_runner(*precisions: str, runs_graph: bool = False, device: str = "") -> RunnerKind:
    """The runner for work that names none: ONNX Runtime, or OpenVINO for what it has no kernels for.

    Where several precisions are to be run, it is one that can run them all; with `runs_graph`, one that runs graphs and
    not the weights. It is one for the CPU unless a device is asked for. Raises `BadInput` where there is none.
    """
    where = device.partition(":")[0] or CPU
    candidates = [
        kind
        for kind in RUNNERS.values()
        if kind.precisions.keys() >= set(precisions) and where in kind.devices and (kind.runs_graph or not runs_graph)
    ]
    if not candidates:
        raise BadInput(
            "precision and device must be what a runner knows (resnas runners lists them), "
            f"found {', '.join(precisions)} on {where}"
        )
    return next((kind for kind in candidates if kind.problem() is None), candidates[0])


def graph_runner(name: str, precision: str, device: str = "") -> RunnerKind:
    """The runner of that name, or the default one of those that run graphs. Raises `BadInput` for an unknown name."""
    return runner_kind(name) if name else default_runner(precision, runs_graph=True, device=device)
