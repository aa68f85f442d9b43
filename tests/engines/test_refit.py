"""Other weights in an engine, as TensorRT's documents say that it goes; and what is refused without a GPU."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from support.checks import refusal
from support.little_engine import LITTLE, TENSORRT, exported

import resnas_deploy as resnas
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.opening import why_not_here
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.refit import check_refittable, check_same_graph
from resnas_deploy.engines.store import open_engine
from resnas_deploy.errors import NotAvailable
from resnas_deploy.progress import silent
from resnas_deploy.weights.checkpoint import Task, untrained, write


@pytest.fixture
def tuned(tmp_path):
    """A checkpoint of the same architecture, with other weights."""
    write(untrained(LITTLE, seed=7), tmp_path / "tuned.safetensors")
    return tmp_path / "tuned.safetensors"


def model_of(path):
    return onnx.load_from_string(path.read_bytes().split(b"\n", 2)[2])


def inlined_of(folder):
    artifact = resnas.open(folder)  # which holds its files open
    return onnx.inliner.inline_local_functions(onnx.load(artifact.graph))


def weights_of(model):
    return {tensor.name: numpy_helper.to_array(tensor).tobytes() for tensor in model.graph.initializer}


@pytest.mark.parametrize("options", [{"refittable": True}, {"refittable": True, "strip_weights": True}], ids=str)
def test_a_tuned_checkpoint_goes_into_an_engine(artifact, version, tuned, tmp_path, options):
    first = build_engine(artifact, TENSORRT, BuildOptions(**options), silent).engine
    built = resnas.refit(first.path, checkpoint=tuned, out=tmp_path / "tuned")
    assert not built.cached
    found = open_engine(built.engine.path)
    made = found.made_of
    assert made["refitted_from"] == first.path.stem
    assert made["weights"] == resnas.open(tmp_path / "tuned").manifest.weights_sha256 != first.made_of["weights"]
    assert "strip_weights" not in made
    assert found.report["layers"] == first.report["layers"]
    inlined = inlined_of(tmp_path / "tuned")
    assert weights_of(model_of(found.path)) == weights_of(inlined)
    assert resnas.open(tmp_path / "tuned").manifest.verification.passed
    again = refusal(lambda: resnas.refit(first.path, checkpoint=tuned, out=tmp_path / "tuned"))
    assert "force" in again


def test_images_stay_bytes(version, tuned, tmp_path):
    levels = exported(tmp_path / "levels", input="uint8")
    first = build_engine(levels, TENSORRT, BuildOptions(refittable=True), silent).engine
    resnas.refit(first.path, checkpoint=tuned, out=tmp_path / "tuned")
    assert resnas.open(tmp_path / "tuned").input == "uint8"
    weights = untrained(LITTLE, seed=7)
    task = Task(tuple("abcde"), replace(weights.preprocessing, std=(0.5, 0.5, 0.5)))
    write(replace(weights, task=task), tmp_path / "other.safetensors")
    line = refusal(lambda: resnas.refit(first.path, checkpoint=tmp_path / "other.safetensors", out=tmp_path / "other"))
    assert "must prepare images as the engine's network does" in line
    assert "found another preprocessing" in line
    assert not (tmp_path / "other").exists()


def test_a_stripped_engine_takes_the_weights_of_its_build_alone(artifact, version, tuned, tmp_path):
    first = build_engine(artifact, TENSORRT, BuildOptions(strip_weights=True), silent).engine
    assert set(weights_of(model_of(first.path)).values()) != set(weights_of(onnx.load(artifact.graph)).values())
    line = refusal(lambda: resnas.refit(first.path, checkpoint=tuned, out=tmp_path / "other"))
    assert "takes the weights of its build and no others" in line
    same = resnas.refit(first.path, checkpoint=artifact.weights, out=tmp_path / "same").engine
    assert weights_of(model_of(same.path)) == weights_of(inlined_of(tmp_path / "same"))


def test_an_engine_without_its_weights_is_run_by_nothing(artifact, version, tmp_path):
    first = build_engine(artifact, TENSORRT, BuildOptions(strip_weights=True), silent).engine
    Image.new("RGB", (32, 32)).save(tmp_path / "any.png")
    said = "it was built without its weights; put them in by `refit()`"
    for call in (
        lambda: resnas.predict(artifact, tmp_path / "any.png", engine=first.path),
        lambda: resnas.verify(artifact, engine=first.path),
        lambda: resnas.bench(artifact, engine=first.path),
        lambda: resnas.bench(first.path),
        lambda: resnas.triton.export(first.path, tmp_path / "models"),
    ):
        line = refusal(call)
        assert line == f"{first.path} must have its weights to be run, found that {said}"
    assert why_not_here(artifact, first.made_of) == said
    (held,) = resnas.inspect(artifact).engines
    assert held.problem == said
    assert not (tmp_path / "models").exists()
    full = resnas.refit(first.path, checkpoint=artifact.weights, out=tmp_path / "full").engine
    assert why_not_here(resnas.open(tmp_path / "full"), full.made_of) != said


def test_an_engine_that_was_not_built_for_it(artifact, version, tuned):
    first = build_engine(artifact, TENSORRT, BuildOptions(), silent).engine
    assert "must have been built with `refittable`" in refusal(lambda: resnas.refit(first.path, checkpoint=tuned))
    line = refusal(lambda: resnas.refit(artifact.folder, checkpoint=tuned))
    assert line == f"`engine` must be an engine in its artifact, engines/ID.engine, found {artifact.folder}"


def test_an_engine_of_another_kind(engine):
    package = open_engine(engine)
    package = replace(package, report={**package.report, "identity": {**package.made_of, "target": "aoti"}})
    message = refusal(lambda: check_refittable(package, ""))
    assert message == "a refit must be of an engine of tensorrt or tensorrt-rtx, found aoti; build it anew"


def test_without_a_gpu_nothing_is_written(artifact, version, tuned, monkeypatch, tmp_path):
    first = build_engine(artifact, TENSORRT, BuildOptions(refittable=True), silent).engine
    monkeypatch.setattr("resnas_deploy.runners.devices.gpus", tuple)
    with pytest.raises(NotAvailable, match="is refitted on the GPU that it runs on, and no NVIDIA GPU") as caught:
        resnas.refit(first.path, checkpoint=tuned, out=tmp_path / "tuned")
    assert caught.value.exit_code == 5
    assert not (tmp_path / "tuned").exists()
    with pytest.raises(NotAvailable):
        check_refittable(first, "cuda:0")


def test_graphs_that_differ_in_more_than_weights(little, tmp_path):
    graph = onnx.load(little.graph)
    other = exported(tmp_path / "other", seed=3)
    check_same_graph(graph, onnx.load(other.graph))
    for change, said in ((lambda other: other.graph.node.pop(), "nodes of"), (_reshape, "in the values of weights")):
        other = onnx.load(little.graph)
        change(other)
        assert said in refusal(lambda: check_same_graph(graph, other))


def _reshape(model):
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).reshape(-1, 1), tensor.name))
