"""Every runtime gives the same logits, and what is missing or wrong is said in one line."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import onnx
import pytest
from exporting import SMALL
from strategies import golden_arrays, refusal

from resnas_deploy.artifact import MODEL, OUTPUT, open_artifact
from resnas_deploy.cli.options import RUNNER_NAMES
from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.runners.base import Options, as_float32, usable_cores
from resnas_deploy.runners.registry import RUNNERS, default_runner, graph_runner, runner_kind

OPTIONS = Options(threads=2)
HERE = [name for name, kind in RUNNERS.items() if kind.problem() is None]
BATCHES = (1, 2, 3, 8)


@pytest.fixture(scope="module")
def artifact(mini_artifact):
    return open_artifact(mini_artifact)


@pytest.fixture(scope="module")
def images(artifact):
    size = artifact.manifest.arch.image_size
    return np.random.default_rng(0).standard_normal((max(BATCHES), 3, size, size), dtype=np.float32)


@pytest.fixture(scope="module")
def expected(artifact, images):
    """What PyTorch computes from the weights."""
    with RUNNERS["torch"].open(artifact, OPTIONS) as runner:
        return runner.run(images)[OUTPUT]


def hide(monkeypatch, *hidden):
    """Make packages look as if they were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in hidden else find(name, *rest))


def unavailable(call):
    with pytest.raises(NotAvailable) as caught:
        call()
    assert caught.value.exit_code == 5
    assert str(caught.value).isprintable()
    return caught.value


def test_the_registry():
    assert set(RUNNERS) == {"torch", "ort-cpu", "ort-cuda", "openvino"}
    assert all(name == kind.name for name, kind in RUNNERS.items())
    assert tuple(RUNNERS) == RUNNER_NAMES  # which the command line completes to, without importing the registry
    assert {"torch", "ort-cpu", "openvino"} <= set(HERE)


@pytest.mark.parametrize("name", HERE)
def test_the_reference_logits(artifact, name):
    golden = golden_arrays("vit_search_mini.npz")
    with RUNNERS[name].open(artifact, OPTIONS) as runner:
        found = runner.run(golden["images"])[OUTPUT]
    _assert_near(found, golden["logits"], 1e-5)


@pytest.mark.gpu
@pytest.mark.skipif("ort-cuda" not in HERE, reason="ONNX Runtime has no CUDA here")
def test_cuda_gives_the_same_logits(artifact, images, expected):
    with RUNNERS["ort-cuda"].open(artifact, OPTIONS) as runner:
        _assert_near(runner.run(images)[OUTPUT], expected, 1e-5)
        runner.step(images)()


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", HERE)
def test_the_same_logits_on_every_runner_at_every_batch_size(artifact, images, expected, name, batch):
    with RUNNERS[name].open(artifact, OPTIONS) as runner:
        for start in range(0, len(images) - batch + 1, batch):
            logits = runner.run(images[start : start + batch])[OUTPUT]
            assert (logits.shape, logits.dtype) == ((batch, 10), np.float32)
            _assert_near(logits, expected[start : start + batch], 1e-5)


@pytest.mark.parametrize(
    ("name", "precision", "tolerance"),
    [("ort-cpu", "fp16", 1e-2), ("openvino", "fp16", 1e-2), ("openvino", "bf16", 8e-2), ("torch", "bf16", 8e-2)],
)
def test_lower_precisions(untrained_artifact, name, precision, tolerance):
    wanted, artifact = open_artifact(untrained_artifact()), open_artifact(untrained_artifact(precision))
    size = SMALL.image_size
    images = np.random.default_rng(1).standard_normal((4, 3, size, size), dtype=np.float32)
    with RUNNERS["torch"].open(wanted, OPTIONS) as reference, RUNNERS[name].open(artifact, OPTIONS) as runner:
        logits, expected = runner.run(images)[OUTPUT], reference.run(images)[OUTPUT]
    assert logits.dtype == np.float32
    _assert_near(logits, expected, tolerance)
    assert (logits != expected).any()  # it did compute in less than fp32


def _assert_near(found, expected, tolerance):
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"error {error:.2e} of the largest logit, tolerance {tolerance:.0e}"


@pytest.mark.parametrize("name", HERE)
def test_a_step_returns_when_the_work_is_done_again_and_again(artifact, images, expected, name):
    with RUNNERS[name].open(artifact, OPTIONS) as runner:
        steps = {batch: runner.step(images[:batch]) for batch in (1, 4)}
        for batch in (4, 1, 1, 4, 1):
            _assert_near(_logits(steps[batch]()), expected[:batch], 1e-5)
        _assert_near(runner.run(images[:2])[OUTPUT], expected[:2], 1e-5)  # and a run in between is no harm
        _assert_near(_logits(steps[4]()), expected[:4], 1e-5)


def _logits(result):
    """The logits in what a runtime's own call returns: a tensor, a list or a mapping of outputs."""
    if isinstance(result, list):
        (result,) = result
    elif hasattr(result, "values"):
        (result,) = result.values() if not hasattr(result, "detach") else (result,)
    return np.asarray(result)


@pytest.mark.parametrize("name", HERE)
def test_it_says_what_it_is_and_what_is_timed(artifact, name):
    with RUNNERS[name].open(artifact, OPTIONS) as runner:
        assert runner.name == name
        assert any(character.isdigit() for character in runner.version)
        assert "2 threads" in runner.boundary
        assert "host to host" in runner.boundary


@pytest.mark.parametrize("name", ["ort-cpu", "openvino"])
def test_another_graph_in_place_of_the_artifacts(artifact, images, name):
    probed = onnx.load(artifact.model)
    probed.graph.output.append(onnx.helper.make_tensor_value_info("stem", onnx.TensorProto.FLOAT, None))
    with RUNNERS[name].open(artifact, replace(OPTIONS, model=probed.SerializeToString())) as runner:
        outputs = runner.run(images[:2])
    assert set(outputs) == {OUTPUT, "stem"}
    assert outputs["stem"].shape == (2, 65, 32)


@pytest.mark.parametrize("name", ["ort-cpu", "openvino"])
@pytest.mark.parametrize("kind", ["empty", "garbage", "half", "unknown operator", "short weights", "newer opset"])
@pytest.mark.parametrize("given", ["file", "bytes"])
def test_a_corrupt_graph_is_one_line(artifact, tmp_path, capfd, name, kind, given):
    content = _corrupt(artifact, kind)
    if given == "bytes":
        options = replace(OPTIONS, model=content)
    else:
        (tmp_path / MODEL).write_bytes(content)
        artifact, options = replace(artifact, folder=tmp_path), OPTIONS
    message = refusal(lambda: RUNNERS[name].open(artifact, options))
    assert "cannot load the graph" in message
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


def test_corrupt_weights_are_one_line(artifact, artifact_copy):
    weights = artifact_copy / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refusal(lambda: RUNNERS["torch"].open(replace(artifact, folder=artifact_copy), OPTIONS))


@pytest.mark.parametrize("name", list(RUNNERS))
def test_a_missing_package_comes_with_its_command(artifact, monkeypatch, name):
    kind = RUNNERS[name]
    hide(monkeypatch, kind.module)
    error = unavailable(lambda: kind.open(artifact, OPTIONS))
    assert f"the package {kind.module} is not installed" in str(error)
    assert str(error).endswith(f"install it with: {kind.install}")
    assert "pip install" in kind.install


@pytest.mark.skipif("ort-cuda" in HERE, reason="CUDA is here")
def test_no_cuda_comes_with_its_command(artifact):
    error = unavailable(lambda: RUNNERS["ort-cuda"].open(artifact, OPTIONS))
    assert "CUDAExecutionProvider" in str(error)
    assert "pip install onnxruntime-gpu" in str(error)


def test_a_provider_that_falls_back_is_not_available(artifact, monkeypatch):
    """With the GPU build on a machine without a GPU, ONNX Runtime runs on the CPU and raises nothing."""
    monkeypatch.setattr("resnas_deploy.runners.ort.provider_problem", lambda _provider: None)
    monkeypatch.setattr("onnxruntime.InferenceSession", _on_the_cpu(importlib.import_module("onnxruntime")))
    assert "no device" in str(unavailable(lambda: RUNNERS["ort-cuda"].open(artifact, OPTIONS)))


def _on_the_cpu(ort):
    session = ort.InferenceSession
    return lambda model, settings, providers: session(model, settings, providers=["CPUExecutionProvider"])


def test_ort_on_the_cpu_has_no_bf16_kernels(untrained_artifact):
    artifact = open_artifact(untrained_artifact("bf16"))
    message = refusal(lambda: RUNNERS["ort-cpu"].open(artifact, OPTIONS))
    assert "must have kernels for bf16, found only fp32, fp16" in message


def test_an_unknown_runner_is_told_the_known_ones():
    message = refusal(lambda: runner_kind("tpu"))
    assert "'tpu'" in message
    assert all(name in message for name in RUNNERS)


def test_the_default_can_run_every_precision_asked_for(monkeypatch):
    assert default_runner("fp32").name == "ort-cpu"
    assert default_runner("bf16").name == "openvino"
    assert default_runner("fp32", "bf16", "fp16").name == "openvino"
    assert "int3" in refusal(lambda: default_runner("fp32", "int3"))
    hide(monkeypatch, "onnxruntime")
    assert default_runner("fp32").name == "openvino"
    hide(monkeypatch, "openvino", "torch")
    assert default_runner("fp32").name == "ort-cpu"  # which then says how to install it


def test_a_graph_is_not_verified_by_running_the_weights(monkeypatch):
    assert graph_runner("", "fp32").name == "ort-cpu"
    assert graph_runner("openvino", "fp32").name == "openvino"
    assert graph_runner("", "bf16").name == "openvino"
    with pytest.raises(BadInput):
        graph_runner("tpu", "fp32")
    hide(monkeypatch, "onnxruntime", "openvino")
    kind = graph_runner("", "fp32")  # not torch, which is here
    assert "pip install onnxruntime" in str(unavailable(lambda: kind.check("fp32")))


def test_an_output_is_a_copy():
    values = np.ones(3, dtype=np.float16)
    copied = as_float32(values)
    values[:] = 2
    assert copied.dtype == np.float32
    assert (copied == 1).all()


def test_at_least_one_core():
    assert usable_cores() >= 1
