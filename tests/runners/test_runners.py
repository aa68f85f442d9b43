"""What the runners are, which one is the default, and how what is missing or wrong is said."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from support.checks import refusal

from resnas_deploy.artifact.artifact import MODEL, Artifact, open_artifact
from resnas_deploy.errors import BadInput, PackageMissing
from resnas_deploy.runners.base import Options, as_float32, usable_cores
from resnas_deploy.runners.devices import CUDA_PYTHON
from resnas_deploy.runners.registry import RUNNERS, default_runner, graph_runner, runner_kind

OPTIONS = Options(threads=2)
PROFILE = {"min": 1, "opt": 8, "max": 8}  # images
# Compiling takes long: test_compiled.py
HERE = [
    name for name, kind in RUNNERS.items() if kind.problem() is None and not name.startswith(("torch-compile", "aoti"))
]


def test_the_registry():
    assert all(name == kind.name for name, kind in RUNNERS.items())


def test_the_registry_is_light():
    """The command line reads names from it."""
    program = "import sys, resnas_deploy.runners.registry, resnas_deploy.engines.targets, json; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert not {"numpy", "onnx", "torch", "safetensors", "onnxruntime", "openvino"} & set(done.stdout.split())


@pytest.mark.parametrize("name", HERE)
def test_it_says_what_it_is_and_what_is_timed(artifact, name):
    with RUNNERS[name].open(artifact, OPTIONS) as runner:
        assert runner.name == name
        assert any(character.isdigit() for character in runner.version)
        assert "2 threads" in runner.boundary
        assert "host to host" in runner.boundary
        assert runner.computes == ("bf16" if name == "openvino-bf16" else "fp32")
        assert (runner.device, runner.device_boundary) == ("cpu", "")
        assert runner.device_step(np.zeros((1, 3, 112, 112), np.float32)) is None


@pytest.mark.parametrize("name", HERE)
def test_one_thread_is_one(artifact, images, name):
    """It takes no more of the processors' time than passes."""
    with RUNNERS[name].open(artifact, replace(OPTIONS, threads=1)) as runner:
        step = runner.step(images)
        step()
        began, used = time.perf_counter(), time.process_time()
        for _ in range(20):
            step()
        passed = time.perf_counter() - began
        assert time.process_time() - used < 1.3 * passed
        assert "1 threads" in runner.boundary


@pytest.mark.parametrize("name", ["ort-cpu", "openvino"])
@pytest.mark.parametrize("kind", ["empty", "garbage", "half", "unknown operator", "short weights", "newer opset"])
@pytest.mark.parametrize("given", ["file", "bytes"])
def test_a_corrupt_graph_is_one_line(artifact, tmp_path, capfd, name, kind, given):
    content = _corrupt(artifact, kind)
    if given == "bytes":
        options = replace(OPTIONS, model=content)
    else:
        (tmp_path / MODEL).write_bytes(content)
        artifact, options = Artifact(tmp_path, artifact.manifest), OPTIONS  # which holds no file that was hashed
    message = refusal(lambda: RUNNERS[name].open(artifact, options))
    # A file is looked at before a runtime sees it, or it would take the same graph at its word.
    assert ("cannot load the graph" if given == "bytes" else "must be a whole ONNX graph") in message
    assert str(artifact.folder) in message
    assert len(message) < 600
    assert capfd.readouterr() == ("", "")  # the runtimes' own complaints are in the message


def _corrupt(artifact, kind):
    content = artifact.model.read_bytes()
    if kind in ("empty", "garbage", "half"):
        return {"empty": b"", "garbage": b"garbage" * 100, "half": content[: len(content) // 2]}[kind]
    model = onnx.load_from_string(content)
    if kind == "unknown operator":
        model.graph.node[5].op_type = "NoSuchOperator"
    elif kind == "newer opset":
        model.opset_import[0].version = 999
    else:
        (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "stem.conv2.bias")
        bias.raw_data = bias.raw_data[:-4]
    return model.SerializeToString()


@pytest.mark.parametrize("name", list(RUNNERS))
def test_a_missing_package_comes_with_its_command(artifact, hide, unavailable, name):
    kind = RUNNERS[name]
    hide(kind.module)
    with pytest.raises(PackageMissing):
        kind.check("fp32")
    message = unavailable(lambda: kind.open(artifact, OPTIONS))
    assert message.endswith(f"the package {kind.module} is not installed; install it with: {kind.install}")
    assert "pip install" in kind.install


@pytest.mark.parametrize("name", ["ort-cuda", "ort-tensorrt"])
def test_a_provider_that_falls_back_is_not_available(artifact, monkeypatch, with_gpus, hide, unavailable, name):
    """Where a library of the GPU's is missing, ONNX Runtime runs on the CPU and raises nothing."""
    with_gpus("NVIDIA L4")
    hide(CUDA_PYTHON)  # which would ask the GPU itself
    providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # which the TensorRT runner sets
    session, asked = onnxruntime.InferenceSession, []

    def on_the_cpu(model, settings, providers, **_options):
        asked.extend(providers)
        return session(model, settings, providers=[])  # the CPU's is added, and refused where it may not be

    monkeypatch.setattr("onnxruntime.InferenceSession", on_the_cpu)
    assert "found no device" in unavailable(lambda: RUNNERS[name].open(artifact, OPTIONS))
    cuda = ("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0", "enable_cuda_graph": "False"})
    assert asked[-1] == cuda
    if name == "ort-tensorrt":
        shapes = {f"trt_profile_{what}_shapes": f"images:{batch}x3x112x112" for what, batch in PROFILE.items()}
        assert asked[0] == ("TensorrtExecutionProvider", {"device_id": "0", "trt_cuda_graph_enable": "False"} | shapes)


def test_ort_on_the_cpu_has_no_bf16_kernels(untrained_artifact):
    artifact = open_artifact(untrained_artifact("bf16"))
    message = refusal(lambda: RUNNERS["ort-cpu"].open(artifact, OPTIONS))
    assert "must have kernels for bf16, found only fp32, fp16" in message


def test_an_unknown_runner_is_told_the_known_ones():
    message = refusal(lambda: runner_kind("tpu"))
    assert "'tpu'" in message
    assert all(name in message for name in RUNNERS)


def test_the_default_can_run_every_precision_asked_for(hide):
    assert default_runner("fp32").name == "ort-cpu"
    assert default_runner("bf16").name == "openvino"
    assert default_runner("fp32", "bf16", "fp16").name == "openvino"
    assert "int3" in refusal(lambda: default_runner("fp32", "int3"))
    hide("onnxruntime")
    assert default_runner("fp32").name == "openvino"
    hide("onnxruntime", "openvino", "torch")
    assert default_runner("fp32").name == "ort-cpu"  # which then says how to install it


def test_the_default_on_a_device(with_gpus, hide, monkeypatch):
    with_gpus("NVIDIA L4")
    hide(CUDA_PYTHON)  # with it TensorRT for RTX, which is here, would be taken
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert default_runner("fp32", device="cuda:0").name == "ort-cuda"
    assert default_runner("fp32", device="cpu").name == default_runner("fp32").name == "ort-cpu"
    assert default_runner("bf16").name == "openvino"  # not TensorRT, which nobody asked for
    assert graph_runner("", "bf16", "cuda").name == "ort-tensorrt"
    assert "found fp32 on tpu" in refusal(lambda: default_runner("fp32", device="tpu"))


def test_a_graph_is_not_verified_by_running_the_weights(hide, unavailable):
    assert graph_runner("", "fp32").name == "ort-cpu"
    assert graph_runner("openvino", "fp32").name == "openvino"
    assert graph_runner("", "bf16").name == "openvino"
    with pytest.raises(BadInput):
        graph_runner("tpu", "fp32")
    hide("onnxruntime", "openvino")
    kind = graph_runner("", "fp32")  # not torch, which is here
    assert "pip install onnxruntime" in unavailable(lambda: kind.check("fp32"))


def test_an_output_is_a_copy():
    values = np.ones(3, dtype=np.float16)
    copied = as_float32(values)
    values[:] = 2
    assert copied.dtype == np.float32
    assert (copied == 1).all()


def test_at_least_one_core():
    assert usable_cores() >= 1


SIGNALLED = """
import faulthandler, gc, signal, sys
from pathlib import Path
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
faulthandler.enable()  # so that signals are handled on a stack of their own
artifact = open_artifact(Path(sys.argv[1]))
first, second = (RUNNERS["openvino"].open(artifact, Options(threads=1)) for _ in range(2))
first.close()
del first
gc.collect()
second.close()
del second
gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("alive", flush=True))
signal.raise_signal(signal.SIGUSR1)
"""


def test_openvino_leaves_a_stack_for_signals(artifact):
    """Its plugin sets the stack; two that were closed in another order than opened left one that was freed."""
    command = [sys.executable, "-c", SIGNALLED, str(artifact.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
