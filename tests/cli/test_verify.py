from __future__ import annotations

import importlib.util

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from resnas_deploy.artifact.artifact import MANIFEST, MODEL, WEIGHTS, open_artifact
from resnas_deploy.artifact.creating import seal
from resnas_deploy.precision import tolerance_of
from resnas_deploy.runners.registry import RUNNERS


@pytest.mark.parametrize("runner", ["ort-cpu", "openvino"])
def test_a_good_artifact(resnas, mini_artifact, runner):
    lines = resnas("verify", mini_artifact, "--runner", runner).out.splitlines()
    assert lines[0] == f"{mini_artifact}: mini fp32 112: every file is as its hash says"
    assert lines[1].startswith("verified: error ")
    assert f"8 of 8 images and 4 of 4 real images ({runner} (" in lines[1]


def test_json(resnas, mini_artifact):
    found = resnas("verify", mini_artifact, "--threads", "1", "--json").json
    assert found["artifact"] == str(mini_artifact)
    assert found["label"] == "mini fp32 112"
    assert found["verification"]["error"] <= found["verification"]["tolerance"]
    assert found["verification"]["batches"] == [1, 2, 8]


def test_a_fixed_batch_of_low_precision_on_the_runner_that_can(resnas, untrained_artifact):
    done = resnas("verify", untrained_artifact("bf16", "3"))
    assert "test bf16 112 (untrained weights, UNVERIFIED)" in done.out
    assert "openvino" in done.out


def test_a_runner_that_computes_in_less_is_held_to_what_it_computes_in(resnas, mini_artifact, cpu_that_has):
    really = RUNNERS["openvino-bf16"].problem() is None
    cpu_that_has("FP32", "BF16")
    found = resnas("verify", mini_artifact, "--runner", "openvino-bf16", "--json").json["verification"]
    assert found["tolerance"] == tolerance_of("bf16")
    assert 1e-5 * really < found["error"] <= found["tolerance"]
    assert found["runner"].endswith("computing in bf16")


def test_a_runner_that_this_cpu_cannot_run(refused, mini_artifact, cpu_that_has):
    cpu_that_has("FP32")
    line = refused("verify", mini_artifact, "--runner", "openvino-bf16", code=5)
    assert "this CPU cannot compute in bf16, OpenVINO found only FP32" in line


@pytest.mark.parametrize("name", [MODEL, WEIGHTS, MANIFEST])
def test_a_changed_byte(refused, artifact_copy, name):
    content = bytearray((artifact_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (artifact_copy / name).write_bytes(content)
    line = refused("verify", artifact_copy)
    assert str(artifact_copy) in line
    assert name in line


@pytest.mark.parametrize("name", [MODEL, WEIGHTS, MANIFEST])
def test_a_missing_file(refused, artifact_copy, name):
    (artifact_copy / name).unlink()
    assert name in refused("verify", artifact_copy)


def test_a_graph_that_is_wrong_though_its_hash_is_right(refused, artifact_copy):
    """As if it had been exported by a faulty program: the element where it goes wrong is named."""
    artifact = open_artifact(artifact_copy)
    model = onnx.load(artifact.model)
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "stage2.block1.mlp.fc2.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.5), bias.name))
    onnx.save(model, artifact.model)
    seal(artifact)
    line = refused("verify", artifact_copy, code=3)
    assert "the first element that differs is stage2.block1 " in line


@pytest.mark.parametrize(
    ("runner", "said"),
    [("tpu", "--runner must be one of"), ("torch", "a graph must be verified on a runner that runs it")],
)
def test_a_runner_that_cannot(refused, mini_artifact, runner, said):
    assert said in refused("verify", mini_artifact, "--runner", runner)


def test_a_precision_without_kernels(refused, untrained_artifact):
    line = refused("verify", untrained_artifact("bf16"), "--runner", "ort-cpu")
    assert "must have kernels for bf16" in line


@pytest.mark.skipif(RUNNERS["ort-cuda"].problem() is None, reason="CUDA is here")
def test_a_runner_that_is_not_here(refused, mini_artifact):
    assert "pip install 'resnas[gpu]'" in refused("verify", mini_artifact, "--runner", "ort-cuda", code=5)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--device", "cuda"], 5, "the runner ort-cuda is not available here: no NVIDIA GPU was found here"),
        (["--runner", "ort-cuda", "--device", "cuda:1"], 5, "no NVIDIA GPU was found here"),
        (["--runner", "openvino", "--device", "cuda"], 2, "the device of the runner openvino must be cpu, found"),
        (["--runner", "ort-cuda", "--device", "cpu"], 2, "the device of the runner ort-cuda must be cuda:N, found"),
        (["--device", "tpu"], 2, "found fp32 on tpu"),
    ],
)
def test_a_device_that_cannot(refused, mini_artifact, monkeypatch, options, code, said):
    monkeypatch.setattr("resnas_deploy.runners.devices.gpus", lambda: ())
    assert said in refused("verify", mini_artifact, *options, code=code)


def test_the_usual_device_by_name(resnas, mini_artifact):
    assert "verified: " in resnas("verify", mini_artifact, "--device", "cpu").out


@pytest.mark.parametrize("missing", ["torch", "onnxruntime", "openvino"])
def test_a_package_that_is_missing(refused, mini_artifact, monkeypatch, missing):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else find(name, *rest))
    runner = "openvino" if missing == "openvino" else "ort-cpu"
    line = refused("verify", mini_artifact, "--runner", runner, code=5)
    assert line.endswith(f"install it with: pip install {missing}")


@pytest.mark.parametrize("name", ["nothing", ".", "file", "x" * 5000])
def test_no_artifact(refused, tmp_path, name):
    (tmp_path / "file").write_text("x")
    refused("verify", name)
