"""Commands that take a bare ONNX file beside artifacts, and those that say why they take none."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support import bare_onnx as bare
from support.checks import check_schema

import resnas_deploy as api


@pytest.fixture
def mine(tmp_path):
    """The name of a file in `tmp_path`, with its weights beside it."""
    bare.save(bare.network(), tmp_path / "mine.onnx", beside="mine.onnx.data")
    return "mine.onnx"


@pytest.fixture
def rewritten(mini_artifact, tmp_path):
    """The graph of `mini_artifact` as another exporter might write it: other names, weights beside it, more outputs."""
    model = onnx.load(mini_artifact / "model.onnx")
    for node in model.graph.node:
        for names in (node.input, node.output):
            for number, name in enumerate(names):
                names[number] = {"images": "pixel_values", "logits": "scores"}.get(name, name)
    model.graph.input[0].name, model.graph.output[0].name = "pixel_values", "scores"
    bare.save(model, tmp_path / "rewritten.onnx", beside="rewritten.onnx.data")
    return "rewritten.onnx"


@pytest.fixture(scope="module")
def traced(mini_artifact, tmp_path_factory):
    """The network of `mini_artifact` as PyTorch's own exporter writes it, weights beside it."""
    import torch

    from resnas_deploy.artifact.artifact import open_artifact

    path = tmp_path_factory.mktemp("traced") / "traced.onnx"
    program = torch.onnx.export(
        open_artifact(mini_artifact).module(),
        (torch.zeros(2, 3, 112, 112),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=8)},),
        verbose=False,
    )
    program.save(path, external_data=True)
    return path


def test_inspect(resnas, mine):
    text = resnas("inspect", mine).out
    assert text.startswith("mine.onnx fp32 16 (weights unknown)\n")
    assert "pixel_values  float32  (batch, 3, 16, 16)  images" in text
    assert "not computed here" in text
    assert "operators: 1 Conv, 1 MatMul, 1 ReduceMean" in text
    assert "unknown: preprocessing" in text
    found = resnas("inspect", mine, "--json").json
    check_schema("inspect", found)
    assert [each["name"] for each in found["weights_beside"]] == ["mine.onnx.data"]
    assert found["logits"] == "scores"


@pytest.mark.parametrize("command", ["bench", "compare", "verify"])
def test_the_help_names_them(resnas, command):
    assert "bare ONNX file" in " ".join(resnas(command, "--help").out.replace("│", " ").split())


def test_bench_and_compare_and_gate(resnas, refused, tmp_path, mine):
    small = ("--runner", "ort-cpu", "--runs", "4", "--openings", "2", "--threads", "1")
    other = bare.save(bare.network(shape=(1, 3, 16, 16)), tmp_path / "fixed.onnx").name
    report = resnas("bench", mine, other, *small, "--batch", "1", "--out", "base.json", "--json").json
    check_schema("bench", report)
    measured = [each["configuration"] for each in report["measurements"]]
    assert [(each["source"], each["label"]) for each in measured] == [
        ("mine.onnx", "mine.onnx fp32 16 (weights unknown)"),
        ("fixed.onnx", "fixed.onnx fp32 16 (weights unknown)"),
    ]
    assert "must lie in the graph's range 1" in refused("bench", other, *small, "--batch", "2")
    compared = resnas("compare", mine, other, *small)
    assert "A: mine.onnx fp32 16 (weights unknown) (mine.onnx) on ort-cpu" in compared.out
    bare.save(bare.network(seed=1), tmp_path / "mine.onnx", beside="mine.onnx.data")
    gated = api.gate("base.json", runs=4, openings=2)  # the command ends as the noise of so few runs has it
    (note,) = [note for note in gated.notes if "another graph" in note]
    assert note.startswith("mine.onnx has another graph than in the baseline: sha256 ")
    assert {change.configuration.source for change in gated.changes} == {"mine.onnx", "fixed.onnx"}


@pytest.mark.parametrize("runner", ["ort-cpu", "openvino"])
def test_an_artifact_against_the_same_graph_of_other_names(resnas, mini_artifact, rewritten, runner):
    done = resnas("verify", mini_artifact, "--against", rewritten, "--runner", runner)
    assert f"computes what {rewritten} does: error 0.0e+00 of tolerance 1e-05, largest difference 0.00e+00" in done.out
    assert "top-1 agrees on 8 of 8 images and 4 of 4 real images" in done.out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of PyTorch's exporter, about itself
@pytest.mark.parametrize("runner", ["ort-cpu", "openvino"])
def test_an_artifact_against_what_pytorch_made_of_its_weights(resnas, mini_artifact, traced, runner):
    found = resnas("verify", traced, "--against", mini_artifact, "--runner", runner, "--json").json
    check_schema("verify", found)
    assert found["against"] == str(mini_artifact)
    assert 0 < found["verification"]["difference"] < 1e-3
    assert found["verification"]["batches"] == [1, 2, 8]
    assert found["verification"]["top1_agreement"] == 8
    text = resnas("inspect", traced).out
    assert "traced.onnx.data" in text
    assert "written by pytorch" in text
    resnas("compare", mini_artifact, traced, "--runner", runner, "--runs", "4", "--openings", "2")


def test_weights_that_differ(resnas, refused, tmp_path, mini_artifact, mine):
    model = onnx.load(mini_artifact / "model.onnx")
    head = next(tensor for tensor in model.graph.initializer if tensor.name.startswith("head"))
    changed = numpy_helper.to_array(head) * np.float32(1.01)
    head.CopyFrom(numpy_helper.from_array(changed, head.name))
    onnx.save(model, tmp_path / "other.onnx")
    line = refused("verify", mini_artifact, "--against", "other.onnx", code=3)
    assert "both must compute the same, found error " in line
    assert "are they of the same weights" in line
    done = resnas("verify", mini_artifact, "--against", "other.onnx", "--json", code=3)
    check_schema("verify", json.loads(done.out))
    assert "images of as many pixels, found 112" in refused("verify", mini_artifact, "--against", mine)


def test_probabilities_are_no_logits(refused, tmp_path, mine):
    bare.save(bare.network(end="Softmax"), tmp_path / "soft.onnx")
    line = refused("verify", mine, "--against", "soft.onnx", code=3)
    assert "soft.onnx ends in a Softmax, so it gives probabilities" in line


def test_two_that_cannot_be_compared(refused, tmp_path, mine):
    for batch, name in ((2, "two.onnx"), (3, "three.onnx")):
        bare.save(bare.network(shape=(batch, 3, 16, 16)), tmp_path / name)
    assert "both must take a batch size, found 2 of two.onnx and 3" in refused(
        "verify", "two.onnx", "--against", "three.onnx"
    )
    assert "leave --data" in refused("verify", mine, "--against", "two.onnx", "--data", "demo")
    assert "which runs the weights" in refused("verify", mine, "--against", "two.onnx", "--runner", "torch")
    assert "--engine must be of an artifact" in refused("verify", mine, "--against", "two.onnx", "--engine", "ab")


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "mine.onnx", "x.png"),
        ("build", "mine.onnx"),
        ("triton", "export", "mine.onnx", "--repository", "models"),
    ],
)
def test_what_needs_more_than_a_graph(refused, mine, command):
    line = refused(*command)
    assert "found a bare ONNX file: it tells neither preprocessing nor classes" in line
    assert "resnas bench, resnas compare or resnas gate" in line


def test_a_file_alone_has_nothing_to_be_verified_by(refused, mine):
    line = refused("verify", mine)
    assert line.endswith("hold an artifact, or another file, against it: resnas verify ARTIFACT --against mine.onnx")


def test_runners_of_something_else(refused, mine):
    assert "the runner torch runs PyTorch modules, found the bare ONNX file mine.onnx" in refused(
        "bench", mine, "--runner", "torch", "--runs", "2"
    )
    for name in ("nothing.onnx", "mine.onnx.data"):
        refused("bench", name)


def test_a_folder_called_engines_makes_no_engine_of_it(resnas, tmp_path):
    (tmp_path / "engines").mkdir()
    bare.save(bare.network(), tmp_path / "engines" / "mine.onnx")
    assert "mine.onnx fp32 16" in resnas("inspect", "engines/mine.onnx").out
