"""Float32 stays float32 where ONNX Runtime serves it on a GPU: it rounds to TF32 unless it is told not to.

The options are those of its CUDA provider (onnxruntime.ai, "CUDA Execution Provider"), which the onnxruntime backend
hands on from its accelerator `cuda` (README.md of triton-inference-server/onnxruntime_backend).
"""

from __future__ import annotations

from dataclasses import replace

import onnxruntime
import pytest
from support import served_program

import resnas_deploy as resnas
from resnas_deploy.serving.repository.config import network_config, tf32_notes
from resnas_deploy.serving.repository.settings import ModelSettings


@pytest.fixture
def manifest(mini_artifact):
    return resnas.open(mini_artifact).manifest


def accelerators(manifest, accelerator, *, on_gpu=True):
    settings = ModelSettings("mini", "onnxruntime", accelerator, on_gpu=on_gpu)
    found = network_config(manifest, settings).optimization.execution_accelerators
    return [(each.name, dict(each.parameters)) for each in found.gpu_execution_accelerator]


def test_cuda_does_not_round(manifest):
    exact = ("cuda", {"use_tf32": "0"})
    assert manifest.type == "fp32"
    assert accelerators(manifest, "") == [exact]
    assert accelerators(manifest, "cuda") == [exact]
    assert accelerators(manifest, "tensorrt") == [("tensorrt", {}), exact]
    assert accelerators(manifest, "", on_gpu=False) == accelerators(manifest, "openvino", on_gpu=False) == []
    half = replace(manifest, precision="fp16")
    assert accelerators(half, "") == []
    assert accelerators(half, "cuda") == [("cuda", {})]
    assert accelerators(half, "tensorrt") == [("tensorrt", {"precision_mode": "FP16"})]


def test_what_tensorrt_cannot_be_told_is_said(mini_artifact, manifest, tmp_path):
    options = {"backend": "onnxruntime", "gpu": True}
    found = resnas.triton.export(mini_artifact, tmp_path / "a", name="mini", accelerator="tensorrt", **options)
    assert [note for note in found.notes if "TF32" in note] == [
        "mini is float32, which the accelerator tensorrt rounds to TF32; start the server with NVIDIA_TF32_OVERRIDE=0 "
        "in its environment, or use the accelerator cuda, which does not"
    ]
    assert resnas.triton.check(tmp_path / "a").findings == ()
    found = resnas.triton.export(mini_artifact, tmp_path / "b", accelerator="cuda", **options)
    assert not any("TF32" in note for note in found.notes)
    settings = ModelSettings("mini", "onnxruntime", "tensorrt", on_gpu=True)
    assert tf32_notes(replace(manifest, precision="fp16"), settings) == []


def test_nor_does_the_python_backend(monkeypatch):
    opened = []
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, providers, **__: opened.append(providers))
    program = served_program.load(monkeypatch)
    monkeypatch.setattr(program, "_exact_int8", lambda _onnxruntime: "0")  # which opens a session of its own
    served_program.initialised(program, "models/mini", "GPU", device="1")
    assert opened == [[("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"})]]
