"""Machines with documented GPUs, in tests: what the package finds there is the doubles, and no other NVIDIA package."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from support.documented import tensorrt_runtime
from support.documented.cuda_runtime import CudaRuntime
from support.documented.tensorrt_runtime import TENSORRT, Machine, as_module, plan

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.runners import devices

L4, L40 = "NVIDIA L4", "NVIDIA L40S"


def machine_with(monkeypatch: Any, *gpus: str, module: str = TENSORRT, version: str = "11.4.0.106") -> Machine:
    """Let the package find these GPUs, `cuda-python`, no CUDA in PyTorch, and TensorRT or TensorRT for RTX."""
    machine = Machine(CudaRuntime(len(gpus)), gpus, module, version)
    monkeypatch.setattr(devices, "gpus", lambda: gpus)
    monkeypatch.setattr(devices, "has_cuda_python", lambda: True)
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: False)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", machine.cuda)
    monkeypatch.setattr(tensorrt_runtime, "HERE", machine)
    monkeypatch.setitem(sys.modules, module, as_module(machine))
    monkeypatch.setattr("resnas_deploy.runners.tensorrt_engine._logs", {})
    return machine


@dataclass(frozen=True)
class EngineFile:
    """An engine as a runner is handed one."""

    path: Path
    made_of: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The same file."""
        return self.path


def engine_file(folder: Path, artifact: Artifact, *profiles: tuple[int, int, int], **changes: Any) -> EngineFile:
    """Write an engine of an artifact's graph, for the machine that is here but for `changes` of its header."""
    here = tensorrt_runtime.HERE
    header = {"device": here.gpus[0] if here.module == TENSORRT else "", "version_compatible": False}
    header |= {"builder": f"{here.module} {here.version}", "tf32": False}
    path = folder / f"{'a' * 64}.engine"
    model = onnx.load(artifact.graph).SerializeToString()
    content = plan(model, profiles or ((1, 4, 8),), **changes)
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)
    if "host_code" in changes:
        header["version_compatible"] = changes["host_code"]
    return EngineFile(path, header | ({"device": changes["gpu"]} if "gpu" in changes else {}))
