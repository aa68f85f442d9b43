"""The runners by name. A runtime is imported when one of its runners is asked for, not before."""

from __future__ import annotations

from resnas_deploy.errors import BadInput
from resnas_deploy.runners.base import CUDA, Network, Options, Runner, RunnerKind, always_here


def _open_torch(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.torch import TorchRunner

    return TorchRunner(network, options)


def _open_ort_cpu(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.ort import CPU_PROVIDER, OrtRunner

    return OrtRunner("ort-cpu", CPU_PROVIDER, network, options)


def _open_ort_cuda(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.ort import CUDA_PROVIDER, OrtRunner

    return OrtRunner("ort-cuda", CUDA_PROVIDER, network, options)


def _cuda_problem(device: str) -> str | None:
    del device
    from resnas_deploy.runners.ort import CUDA_PROVIDER, provider_problem

    return provider_problem(CUDA_PROVIDER)


def _open_openvino(network: Network, options: Options) -> Runner:
    from resnas_deploy.runners.openvino import OpenVinoRunner

    return OpenVinoRunner(network, options)


_NATIVE = "computed in it"
_WIDENED = "computed in fp32 around fp16 weights and activations"
_HARDWARE = "computed in it where the CPU can, else in fp32"

RUNNERS = {
    kind.name: kind
    for kind in (
        RunnerKind(
            "ort-cpu",
            "ONNX Runtime on the CPU",
            module="onnxruntime",
            install="pip install onnxruntime",
            precisions={"fp32": _NATIVE, "fp16": _WIDENED},
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
            device_problem=_cuda_problem,
            devices=(CUDA,),
        ),
        RunnerKind(
            "openvino",
            "OpenVINO on the CPU",
            module="openvino",
            install="pip install openvino",
            precisions={"fp32": _NATIVE, "fp16": _HARDWARE, "bf16": _HARDWARE},
            open_network=_open_openvino,
            device_problem=always_here,
        ),
        RunnerKind(
            "torch",
            "PyTorch, eager, on the CPU (runs the weights, not the graph)",
            module="torch",
            install="pip install torch",
            precisions={"fp32": _NATIVE, "fp16": _NATIVE, "bf16": _NATIVE},
            open_network=_open_torch,
            device_problem=always_here,
            runs_graph=False,
        ),
    )
}


def runner_kind(name: str) -> RunnerKind:
    """The runner of that name. Raises `BadInput` that lists the known ones."""
    if name not in RUNNERS:
        raise BadInput(f"a runner must be one of {', '.join(RUNNERS)}, found {name!r}")
    return RUNNERS[name]


def default_runner(*precisions: str, runs_graph: bool = False) -> RunnerKind:
    """The runner for work that names none: ONNX Runtime, or OpenVINO for what it has no kernels for.

    Where several precisions are to be run, it is one that can run them all; with `runs_graph`, one that runs graphs and
    not the weights. Raises `BadInput` where there is none.
    """
    candidates = [
        kind
        for kind in RUNNERS.values()
        if kind.precisions.keys() >= set(precisions) and (kind.runs_graph or not runs_graph)
    ]
    if not candidates:
        raise BadInput(f"a precision must be one that a runner knows (resnas runners), found {', '.join(precisions)}")
    return next((kind for kind in candidates if kind.problem() is None), candidates[0])


def graph_runner(name: str, precision: str) -> RunnerKind:
    """The runner of that name, or the default one of those that run graphs. Raises `BadInput` for an unknown name."""
    return runner_kind(name) if name else default_runner(precision, runs_graph=True)
