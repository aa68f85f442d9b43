"""Repositories hold what the artifacts say, versions are added and never overwritten, and every change is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from exporting import request
from hypothesis import given
from hypothesis import strategies as st
from strategies import mini, refusal

from resnas_deploy.artifact import MANIFEST, MODEL, open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.store import save_report
from resnas_deploy.export.pipeline import export
from resnas_deploy.serving.batching import Batching, batching_for
from resnas_deploy.serving.check import check_repository
from resnas_deploy.serving.config import parse
from resnas_deploy.serving.repository import add_model, versions_of
from resnas_deploy.serving.served import Serving


@pytest.fixture
def models(repository, tmp_path):
    """A copy of `repository` that a test may alter."""
    return shutil.copytree(repository, tmp_path / "models")


def found(models, release=""):
    return [str(finding) for model in check_repository(models, release) for finding in model.findings]


def test_the_configuration_is_the_artifacts(models, mini_artifact):
    config = parse((models / "mini" / "config.pbtxt").read_text(), "config")
    arch = open_artifact(mini_artifact).arch
    assert (config.name, config.backend, config.max_batch_size) == ("mini", "python", 8)
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("images", [3, 112, 112])]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [("logits", [arch.classes])]
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.dynamic_batching.max_queue_delay_microseconds == 20_000
    assert [warm.batch_size for warm in config.model_warmup] == [1, 8]
    assert found(models) == []


def test_versions_are_added(models, mini_artifact):
    before = (models / "mini" / "1" / MODEL).stat()
    (written,) = add_model(models, open_artifact(mini_artifact), Serving("mini"))
    assert (written.version, written.is_new) == (2, True)
    assert versions_of(models / "mini") == [1, 2]
    assert (models / "mini" / "1" / MODEL).stat() == before
    assert found(models) == []
    assert {path.name for path in models.parent.iterdir()} == {"models"}
    assert {path.name for path in models.iterdir()} == {"mini", "mini_jpeg", "mini_preprocess"}


def test_the_largest_batch_is_one_that_every_version_takes(models, tmp_path):
    narrow = export(
        mini,
        replace(request(tmp_path), out=tmp_path / "narrow", batch=BatchRange(1, 2), verify_on=None),
        lambda _: None,
    )
    add_model(models, narrow, Serving("mini"), ensemble=True)
    for name in ("mini", "mini_jpeg", "mini_preprocess"):
        assert parse((models / name / "config.pbtxt").read_text(), name).max_batch_size == 2
    assert found(models) == []


def test_another_network_under_the_same_name_is_refused(models, tmp_path):
    other = export(
        mini,
        replace(request(tmp_path), out=tmp_path / "other", verify_on=None, class_names=_names(tmp_path)),
        lambda _: None,
    )
    line = refusal(lambda: add_model(models, other, Serving("mini")))
    assert "give this one another --name" in line
    assert versions_of(models / "mini") == [1]


def _names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("".join(f"class {number}\n" for number in range(10)))
    return path


def test_a_network_for_larger_batches_alone_is_refused(tmp_path):
    fixed = export(
        mini, replace(request(tmp_path), out=tmp_path / "a", batch=BatchRange(4, 4), verify_on=None), lambda _: None
    )
    line = refusal(lambda: add_model(tmp_path / "models", fixed, Serving("mini")))
    assert "must take single images, found one for batches of 4" in line
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "a/b"}, "a model's name must be"),
        ({"name": ".."}, "a model's name must be"),
        ({"name": "a", "backend": "pytorch"}, "a backend must be one of"),
        ({"name": "a", "accelerator": "tensorrt"}, "must come with the backend onnxruntime"),
        ({"name": "a", "backend": "onnxruntime", "accelerator": "cuda"}, "must run on a GPU"),
        ({"name": "a", "backend": "tensorrt"}, "must run on a GPU"),
        ({"name": "a", "versions": "newest"}, "the versions to serve must be"),
    ],
)
def test_what_triton_would_refuse_or_ignore(options, said):
    assert said in refusal(lambda: Serving(**options))


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
    assert any(said in line for line in found(models)), found(models)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("mini/1/model.onnx", "model.onnx"),
        ("mini/1/manifest.json", "manifest.json"),
        ("mini/1/model.py", "model.py must be the one of this resnas"),
        ("mini_preprocess/1/model.py", "model.py must be the one of this resnas"),
        ("mini_preprocess/1/resnas_deploy/images.py", "images.py must be the one of this resnas"),
        ("mini/config.pbtxt", "config.pbtxt must be"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_was_changed_or_is_missing(models, path, said, is_there):
    if is_there:
        (models / path).write_bytes((models / path).read_bytes()[:-1] + b"\x00")
    else:
        (models / path).unlink()
    assert any(said in line for line in found(models)), found(models)


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
        for checked in check_repository(fuzzed):
            assert all(str(finding).isprintable() for finding in checked.findings)
    finally:
        (fuzzed / file).write_bytes(content)


def test_onnx_runtime_of_the_release_must_know_the_operators(tmp_path, mini_artifact):
    add_model(tmp_path / "models", open_artifact(mini_artifact), Serving("mini", backend="onnxruntime"))
    assert found(tmp_path / "models", "26.08") == []
    (line,) = found(tmp_path / "models", "25.06")
    assert "must know opset 23 (1.23 or newer), found 1.22.0 in Triton 25.06" in line
    assert "found '19.01'" in refusal(lambda: found(tmp_path / "models", "19.01"))


def test_a_full_disk_leaves_the_repository_as_it_was(models, mini_artifact, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = sorted(models.rglob("*"))
    monkeypatch.setattr("resnas_deploy.serving.repository.shutil.copyfile", full)
    line = refusal(lambda: add_model(models, open_artifact(mini_artifact), Serving("mini")))
    assert "No space left on device; free some space" in line
    assert sorted(models.rglob("*")) == before


SLOW = """
import shutil, sys, time
from pathlib import Path
from resnas_deploy.artifact import open_artifact
from resnas_deploy.serving.repository import add_model
from resnas_deploy.serving.served import Serving

def copy(source, target):
    with Path(source).open("rb") as there, Path(target).open("wb") as here:
        here.write(there.read(1000))
        here.flush()
        if Path(source).name == sys.argv[3]:
            print("copying", flush=True)
            time.sleep(60)
        here.write(there.read())

shutil.copyfile = copy
add_model(Path(sys.argv[1]), open_artifact(Path(sys.argv[2])), Serving("mini"), ensemble=True)
"""


@pytest.mark.parametrize("file", [MODEL, MANIFEST])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_killed_export_leaves_nothing_that_a_server_would_take(repository, mini_artifact, tmp_path, file, is_new):
    models = tmp_path / "models"
    if not is_new:
        shutil.copytree(repository, models)
    with subprocess.Popen([sys.executable, "-c", SLOW, models, mini_artifact, file], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"copying\n"
        process.kill()
    assert versions_of(models / "mini") == ([] if is_new else [1])
    assert {path.name for path in models.iterdir()} <= {"mini", "mini_jpeg", "mini_preprocess"}
    if is_new:
        assert not (models / "mini").exists()
    assert found(models) == []
    add_model(models, open_artifact(mini_artifact), Serving("mini"), ensemble=True)
    assert versions_of(models / "mini") == ([1] if is_new else [1, 2])
    assert found(models) == []


def test_batches_follow_from_latencies_and_a_limit():
    measured = {1: 10.0, 2: 14.0, 4: 20.0, 8: 36.0, 16: 71.0}
    assert batching_for(measured, 16, 100) == Batching((2, 4, 8), 28_000)  # 16 takes too long; 8 gains 11% over 4
    assert batching_for(measured, 16, 1000).preferred[-1] == 8  # 16 gains 1% over it
    assert batching_for(measured, 4, 100) == Batching((2, 4), 60_000)
    assert batching_for(measured, 16, 20) == Batching((), 0)
    assert "room for two batches in a row, found 19 ms" in refusal(lambda: batching_for(measured, 16, 19))


def test_the_manifest_is_the_artifacts(models, mini_artifact):
    assert (models / "mini" / "1" / MANIFEST).read_bytes() == (mini_artifact / MANIFEST).read_bytes()
    assert json.loads((models / "mini_preprocess" / "1" / "preprocessing.json").read_text())["image_size"] == 112


@pytest.fixture
def engine(mini_artifact, tmp_path):
    """A function: an engine of a copy of `mini`, as its report tells; the plan itself is not run here."""
    artifact = open_artifact(shutil.copytree(mini_artifact, tmp_path / "mini"))

    def make(profile="1:4:8", version="11.2.1.2", target="tensorrt"):
        path = artifact.folder / "engines" / "x.engine"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"a plan")
        made_of = {
            "weights": artifact.manifest.weights_sha256,
            "graph": artifact.digest,
            "precision": "fp32",
            "target": target,
            "builder": f"{target} {version}",
            "profiles": [profile],
            "version_compatible": False,
        }
        return artifact, save_report(path, {"identity": made_of, "seconds": 1.0, "layers": {}})

    return make


def test_an_engine_says_its_own_batches_and_release(engine, tmp_path):
    models = tmp_path / "models"
    artifact, made = engine("1:2:4")
    add_model(models, artifact, Serving("mini", backend="tensorrt", on_gpu=True), made)
    config = parse((models / "mini" / "config.pbtxt").read_text(), "config")
    assert (config.backend, config.max_batch_size, config.default_model_filename) == ("tensorrt", 4, "model.plan")
    assert found(models, "26.08") == []
    (line,) = found(models, "26.05")
    assert "must be built by the TensorRT of Triton 26.05, 10.16.1, found 11.2.1.2" in line
    edited(models, "mini", "max_batch_size: 4", "max_batch_size: 8")
    (line,) = found(models)
    assert "batches must lie in the engine's first profile 1:4, found 1:8" in line
    (models / "mini" / "1" / "model.plan").write_bytes(b"another")
    assert any("model.plan differs from the hash in engine.json" in line for line in found(models))


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
    serving = Serving("mini", backend="tensorrt", on_gpu=True)
    assert said in refusal(lambda: add_model(tmp_path / "models", artifact, serving, made))
    assert not (tmp_path / "models").exists()
