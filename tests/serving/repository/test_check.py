"""Everything in a repository that was changed, or does not fit what it serves, is found."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.engine_report import IDENTITY, LAYERS
from support.repository_findings import findings
from support.small_export import request

import resnas_deploy as resnas
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.store import save_engine_report
from resnas_deploy.exporting.export import export
from resnas_deploy.progress import silent
from resnas_deploy.serving.repository.check import check_repository
from resnas_deploy.serving.repository.config import parse
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings

REQUEST = request(Path(), precision="int8", for_runner="ort-cpu", calibration_images=4, verify_on=None)


def edited(models, name, old, new):
    path = models / name / "config.pbtxt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "mini",
            "max_batch_size: 8",
            "max_batch_size: 16",
            "max_batch_size must be from 1 to the artifact's 8, found 16",
        ),
        ("mini", "dims: 112", "dims: 224", "the input must be images TYPE_FP32 [3, 112, 112]"),
        ("mini", "TYPE_FP32", "TYPE_FP16", "found images TYPE_FP16"),
        ("mini", 'name: "logits"', 'name: "scores"', "the output must be logits"),
        ("mini", 'name: "mini"', 'name: "other"', "must name the model as its folder is named, found 'other'"),
        ("mini", 'backend: "python"', 'backend: "pytorch"', "backend must be python, onnxruntime or tensorrt"),
        ("mini", "max_batch_size: 8", "max_batches: 8", "config.pbtxt must be a model configuration of Triton's"),
        ("mini", "preferred_batch_size: 8", "preferred_batch_size: 9", "preferred batch sizes must be at most"),
        ("mini", "latest {\n    num_versions: 1\n  }", "specific { versions: 3 }", "found none numbered 3"),
        (
            "mini_jpeg",
            'model_name: "mini_preprocess"',
            'model_name: "gone"',
            "the model 'gone' must be in the repository",
        ),
        ("mini_jpeg", "max_batch_size: 8", "max_batch_size: 9", "max_batch_size must be at most 8"),
        ("mini_preprocess", "TYPE_STRING", "TYPE_UINT8", "the input must be image TYPE_STRING [1]"),
    ],
)
def test_a_configuration_edited_by_hand(models, name, old, new, said):
    edited(models, name, old, new)
    assert any(said in line for line in findings(models)), findings(models)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("mini/1/model.onnx", "model.onnx"),
        ("mini/1/manifest.json", "manifest.json"),
        ("mini/1/model.py", "model.py must be the one of this resnas"),
        ("mini_preprocess/1/model.py", "model.py must be the one of this resnas"),
        ("mini_preprocess/1/resnas_deploy/images/decode.py", "decode.py must be the one of this resnas"),
        ("mini/config.pbtxt", "config.pbtxt must be"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_was_changed_or_is_missing(models, path, said, is_there):
    if is_there:
        (models / path).write_bytes((models / path).read_bytes()[:-1] + b"\x00")
    else:
        (models / path).unlink()
    assert any(said in line for line in findings(models)), findings(models)


FILES = (
    "mini/config.pbtxt",
    "mini/1/manifest.json",
    "mini_jpeg/config.pbtxt",
    "mini_preprocess/config.pbtxt",
    "mini_preprocess/1/preprocessing.json",
)


@pytest.fixture(scope="module")
def fuzzed(repository, tmp_path_factory):
    return shutil.copytree(repository, tmp_path_factory.mktemp("fuzzed") / "models")


@given(file=st.sampled_from(FILES), data=st.data())
def test_no_content_of_a_file_makes_the_check_fail(fuzzed, file, data):
    """It finds something, or that the content says the same."""
    content = (fuzzed / file).read_bytes()
    at = data.draw(st.integers(0, len(content)))
    put = data.draw(st.binary(max_size=20) | st.sampled_from([b"[" * 100_000, b"{", b"dims: -1 ", b'"', b"null"]))
    gone = data.draw(st.integers(0, 40) | st.just(len(content)))
    (fuzzed / file).write_bytes(content[:at] + put + content[at + gone :])
    try:
        assert all(str(finding).isprintable() for finding in check_repository(fuzzed).findings)
    finally:
        (fuzzed / file).write_bytes(content)


def test_onnx_runtime_of_the_release_must_know_the_operators(tmp_path, mini_artifact):
    add_model(tmp_path / "models", open_artifact(mini_artifact), ModelSettings("mini", backend="onnxruntime"))
    assert findings(tmp_path / "models", "26.08") == []
    (line,) = findings(tmp_path / "models", "25.06")
    assert "must know opset 23 (1.23 or newer), found 1.22.0 in Triton 25.06" in line
    assert "found '19.01'" in refusal(lambda: findings(tmp_path / "models", "19.01"))


@pytest.fixture
def engine(mini_artifact, tmp_path):
    """A function: an engine of a copy of `mini`, as its report tells; the plan itself is not run here."""
    artifact = open_artifact(shutil.copytree(mini_artifact, tmp_path / "mini"))

    def make(profile="1:4:8", version="11.2.1.2", target="tensorrt"):
        path = artifact.folder / "engines" / "x.engine"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"a plan")
        made_of = IDENTITY | {
            "arch": artifact.manifest.arch.fingerprint,
            "weights": artifact.manifest.weights_sha256,
            "graph": artifact.digest,
            "precision": "fp32",
            "target": target,
            "builder": f"{target} {version}",
            "profiles": [profile],
            "version_compatible": False,
        }
        return artifact, save_engine_report(path, {"identity": made_of, "seconds": 1.0, "layers": LAYERS})

    return make


def test_the_server_forms_the_batches_that_an_engine_is_tuned_for(engine, tmp_path):
    """Triton's guide "Batchers", Preferred Batch Sizes: it forms the largest possible of these."""
    models = tmp_path / "models"
    artifact, made = engine("1:4:8")
    found = resnas.triton.export(made.path, models)
    assert not [note for note in found.notes if "tuned" in note]
    config = parse((models / "mini" / "config.pbtxt").read_text(), "config")
    assert (config.max_batch_size, list(config.dynamic_batching.preferred_batch_size)) == (8, [4])
    assert findings(models) == []
    (note,) = resnas.triton.export(made.path, models, name="fewer", max_batch=2).notes
    assert "is tuned for batches of 4, and the server would form batches of 2; build one by `build()`" in note
    foreign = artifact.folder.with_name("foreign")
    shutil.copytree(artifact.folder, foreign)
    edited_report = made.report | {"identity": made.made_of | {"weights": "0" * 64}}
    save_engine_report(
        foreign / "engines" / "x.engine", {name: edited_report[name] for name in ("identity", "seconds", "layers")}
    )
    assert "another set of weights" in refusal(
        lambda: resnas.triton.export(foreign / "engines" / "x.engine", tmp_path / "other")
    )


def test_an_engine_says_its_own_batches_and_release(engine, tmp_path):
    models = tmp_path / "models"
    artifact, made = engine("1:2:4")
    add_model(models, artifact, ModelSettings("mini", backend="tensorrt", on_gpu=True), made)
    config = parse((models / "mini" / "config.pbtxt").read_text(), "config")
    assert (config.backend, config.max_batch_size, config.default_model_filename) == ("tensorrt", 4, "model.plan")
    assert findings(models, "26.08") == []
    (line,) = findings(models, "26.05")
    assert "must be built by the TensorRT of Triton 26.05, 10.16.1, found 11.2.1.2" in line
    edited(models, "mini", "max_batch_size: 4", "max_batch_size: 8")
    (line,) = findings(models)
    assert "batches must lie in the engine's first profile 1:4, found 1:8" in line
    (models / "mini" / "1" / "model.plan").write_bytes(b"another")
    assert any("model.plan differs from the hash in engine.json" in line for line in findings(models))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"profile": "2:4:8"}, "a served network must take single images, found one for batches of 2:8"),
        (
            {"target": "tensorrt-rtx"},
            "must be given an engine of the target tensorrt, found one of tensorrt-rtx",
        ),
    ],
)
def test_an_engine_that_triton_cannot_serve(engine, tmp_path, options, said):
    artifact, made = engine(**options)
    serving = ModelSettings("mini", backend="tensorrt", on_gpu=True)
    assert said in refusal(lambda: add_model(tmp_path / "models", artifact, serving, made))
    assert not (tmp_path / "models").exists()


def test_a_graph_for_one_runner_that_leaves_the_cpu(mini_artifact, tmp_path):
    """Its configuration was edited since: every group of instances must be on the CPU, by no other provider."""
    there = open_artifact(mini_artifact)
    for_one = export(there.checkpoint, replace(REQUEST, out=tmp_path / "x"), silent)
    models = tmp_path / "models"
    add_model(models, for_one, ModelSettings("mini", backend="onnxruntime"))
    assert findings(models) == []
    edited(models, "mini", "KIND_CPU", "KIND_GPU")
    assert any("must be run on the CPU, for it is written for ort-cpu" in line for line in findings(models))
    edited(models, "mini", "KIND_GPU", "KIND_CPU")
    with (models / "mini" / "config.pbtxt").open("a") as file:
        file.write('optimization { execution_accelerators { cpu_execution_accelerator { name: "openvino" } } }\n')
    assert any("must be run on the CPU, for it is written for ort-cpu" in line for line in findings(models))
    message = refusal(lambda: add_model(models, there, ModelSettings("mini", backend="onnxruntime", on_gpu=True)))
    assert "must be served on the CPU" in message  # of the earlier version, which the same configuration serves
