"""Where a runner runs: which devices it takes, and what is said of a GPU that is not here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import shown
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import CPU, CUDA
from resnas_deploy.runners.registry import RUNNERS

OPTIONS = Options(threads=2)
NAMES = ("NVIDIA H100 80GB HBM3", "NVIDIA L4")
ON_GPU = [name for name, kind in RUNNERS.items() if CUDA in kind.devices]
ON_CPU = [name for name, kind in RUNNERS.items() if CPU in kind.devices]
GPU_ALONE = {"ort-cuda", "ort-tensorrt", "tensorrt", "tensorrt-rtx"}
HERE = [name for name in ON_GPU if name != "tensorrt"]  # whose package is installed
kinds = st.sampled_from(list(RUNNERS.values()))


def test_which_run_where():
    assert set(ON_GPU) == {*GPU_ALONE, "torch", "torch-compile", "torch-compile-max", "aoti"}
    assert set(RUNNERS) - set(ON_CPU) == GPU_ALONE


@given(kinds, st.integers(0, 9999))
def test_the_number_of_a_gpu(kind, number):
    if CUDA in kind.devices:
        assert kind.device(f"cuda:{number}") == kind.device(f"cuda:{number:04}") == f"cuda:{number}"
        assert kind.device("cuda") == "cuda:0"
        assert kind.on(f"cuda:{number}").device("") == f"cuda:{number}"
    else:
        assert "must be cpu, found" in refusal(lambda: kind.device(f"cuda:{number}"))


@given(kinds)
def test_the_usual_device(kind):
    usual = kind.device("")
    assert usual == ("cuda:0" if kind.name in GPU_ALONE else "cpu")
    assert kind.on("").device("") == usual
    assert kind.device(usual) == usual  # a device that was told is taken again


@given(kinds, st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_other_text_is_refused(kind, text):
    known = {"cpu", "cuda"} | {f"cuda:{digits}" for digits in [text.removeprefix("cuda:")] if digits.isdecimal()}
    if text in known:
        return
    for call in (kind.device, kind.on, kind.problem):
        assert shown(text) in refusal(lambda call=call: call(text))


@pytest.mark.parametrize(
    "text", ["cuda:", "cuda:-1", "cuda:x", "cuda:1.0", "cuda:²", "cuda:٣", "cuda:99999", "cpu:0", "CPU"]
)
def test_devices_that_are_none(text):
    assert "must be cpu or cuda:N" in refusal(lambda: RUNNERS["torch"].device(text))


@pytest.mark.parametrize("name", HERE)
def test_no_gpu(artifact, unavailable, with_gpus, name):
    with_gpus()
    message = unavailable(lambda: RUNNERS[name].open(artifact, replace(OPTIONS, device="cuda")))
    assert f"the runner {name} is not available here: no NVIDIA GPU was found here" in message


@pytest.mark.parametrize("name", HERE)
def test_a_gpu_that_is_not_here(artifact, unavailable, with_gpus, name):
    with_gpus(*NAMES)
    message = unavailable(lambda: RUNNERS[name].open(artifact, replace(OPTIONS, device="cuda:7")))
    assert f"there is no cuda:7 here, found 2 GPUs: cuda:0 {NAMES[0]}, cuda:1 {NAMES[1]}" in message
    with_gpus(NAMES[0])
    assert f"there is no cuda:1 here, found 1 GPU: cuda:0 {NAMES[0]}" in RUNNERS[name].problem("cuda:1")


def test_the_build_for_gpus_is_no_gpu(monkeypatch, with_gpus):
    """onnxruntime-gpu says that it has CUDA on any machine."""
    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    )
    for name in ("ort-cuda", "ort-tensorrt"):
        with_gpus()
        assert RUNNERS[name].problem() == "no NVIDIA GPU was found here"
        assert RUNNERS[name].remedy() == ""  # nothing that could be installed
        with_gpus(NAMES[0])
        assert RUNNERS[name].problem() is None


def test_a_gpu_is_no_build_for_it(monkeypatch, unavailable, artifact, with_gpus):
    with_gpus(NAMES[0])
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    message = unavailable(lambda: RUNNERS["ort-cuda"].open(artifact, OPTIONS))
    assert "available here: this build of ONNX Runtime has no CUDAExecutionProvider; install it with: pip" in message
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    message = unavailable(lambda: RUNNERS["torch"].open(artifact, replace(OPTIONS, device="cuda")))
    assert message.endswith("cannot use the GPU; a build that can is installed by: pip install --force-reinstall torch")


@pytest.mark.parametrize("name", ON_CPU)
def test_a_cuda_graph_on_the_cpu(artifact, name):
    options = replace(OPTIONS, device="cpu", cuda_graph=True)
    assert f"found the runner {name} on the CPU" in refusal(lambda: RUNNERS[name].open(artifact, options))


def test_tensorrt_captures_one_batch_size(artifact, untrained_artifact):
    """Its provider keeps one graph, which it would replay for a batch of another size."""
    from resnas_deploy.runners.devices import TENSORRT_PROVIDER
    from resnas_deploy.runners.ort_gpu import OrtGpuRunner

    options = replace(OPTIONS, device="cuda:0", cuda_graph=True)
    message = refusal(lambda: OrtGpuRunner(artifact, options, name="ort-tensorrt", provider=TENSORRT_PROVIDER))
    assert "one batch size, found 1:8" in message
    assert open_artifact(untrained_artifact(batch="3")).batch.fixed


def test_a_cpu_without_bf16(artifact, cpu_that_has, unavailable):
    cpu_that_has("INT8", "FP32")
    message = unavailable(lambda: RUNNERS["openvino-bf16"].open(artifact, OPTIONS))
    assert message.endswith("this CPU cannot compute in bf16, OpenVINO found only FP32, INT8")
    with RUNNERS["openvino"].open(artifact, OPTIONS) as runner:
        assert runner.computes == "fp32"


@pytest.mark.parametrize(
    ("precision", "native", "computes", "within"),
    [
        ("fp16", (), "fp32", 1e-2),
        ("fp16", ("FP16",), "fp16", 8e-2),  # OpenVINO without fp16 instructions may take bf16 ones
        ("bf16", ("FP16",), "fp32", 8e-2),
        ("bf16", ("BF16",), "bf16", 8e-2),
    ],
)
def test_what_the_cpu_computes_in(untrained_artifact, cpu_that_has, near, precision, native, computes, within):
    """OpenVINO is told what the CPU can, and no more; whatever this one can really do, the logits are near."""
    cpu_that_has("FP32", *native)
    artifact = open_artifact(untrained_artifact(precision))
    images = np.random.default_rng(1).standard_normal((2, 3, *[artifact.image_size] * 2), dtype=np.float32)
    with RUNNERS["openvino"].open(artifact, OPTIONS) as runner, RUNNERS["torch"].open(artifact, OPTIONS) as reference:
        assert runner.computes == computes
        near(runner.run(images)[OUTPUT], reference.run(images)[OUTPUT], within)


def test_a_cpu_with_bf16(artifact, cpu_that_has, images, expected, near):
    cpu_that_has("FP32", "BF16")
    assert RUNNERS["openvino-bf16"].problem() is None
    with RUNNERS["openvino-bf16"].open(artifact, OPTIONS) as runner:
        assert runner.computes == "bf16"
        near(runner.run(images)[OUTPUT], expected, 8e-2)
