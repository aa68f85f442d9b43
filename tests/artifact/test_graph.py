"""A graph under a hash that is right is read as anybody's: what it may not be is refused before a runtime sees it."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.checks import refusal

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.artifact.graph import check_graph, read_graph
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS


@pytest.fixture
def altered(artifact_copy):
    """A function: the artifact with another graph, under a manifest with that graph's hash."""

    def alter(change):
        path = artifact_copy / "model.onnx"
        if callable(change):
            model = onnx.load(path)
            change(model)
            change = model.SerializeToString()
        path.write_bytes(change)
        manifest = json.loads((artifact_copy / "manifest.json").read_text())
        manifest["files"]["model.onnx"] = hashlib.sha256(change).hexdigest()
        del manifest["manifest_sha256"]
        body = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
        sealed = manifest | {"manifest_sha256": hashlib.sha256(body).hexdigest()}
        (artifact_copy / "manifest.json").write_text(json.dumps(sealed, indent=1, sort_keys=True) + "\n")
        return open_artifact(artifact_copy)

    return alter


def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")


def external_in_a_node(model):
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="/dev/zero")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=value))


def loop(model):
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body))


def nested(model):
    function = model.functions[0]
    function.node.append(helper.make_node(function.name, list(function.input), ["again"], domain=function.domain))


def foreign(model):
    model.graph.node.append(helper.make_node("FusedGemm", [], ["y"], domain="com.microsoft"))


def huge(model):
    """A tensor of 4 TB out of one number."""
    shape = numpy_helper.from_array(np.array([2**20, 2**20], np.int64), "shape")
    model.graph.initializer.extend([shape, numpy_helper.from_array(np.zeros((1, 1), np.float32), "one")])
    model.graph.node.append(helper.make_node("Expand", ["one", "shape"], ["much"], name="much"))


def another_output(model):
    model.graph.output[0].name = "scores"


def another_size(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**20


def second_input(model):
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def cut_weights(model):
    tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    tensor.raw_data = tensor.raw_data[:-4]


def many_nodes(model):
    node = model.graph.node[-1]
    model.graph.node.extend([node] * 100_001)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external, "weights must be in the graph's own file"),
        (external_in_a_node, "weights must be in the graph's own file"),
        (loop, "a graph must have no graphs inside, found one in 'Loop'"),
        (nested, "a function must be made of operators alone"),
        (foreign, "operators must be ONNX's own or of resnas, found the domain 'com.microsoft'"),
        (huge, "no tensor may have more than"),
        (another_output, "must be a whole ONNX graph"),
        (another_size, "the input must be images, float32 (B, 3, 112, 112)"),
        (second_input, "the input must be images, float32 (B, 3, 112, 112)"),
        (cut_weights, "must be a whole ONNX graph"),
        (many_nodes, "at most 100000 nodes"),
        (b"", "must be a whole ONNX graph"),
        (b"\xff" * 1000, "must be a whole ONNX graph"),
    ],
)
def test_a_graph_that_no_export_writes(altered, change, said):
    artifact = altered(change)
    message = refusal(lambda: read_graph(artifact))
    assert said in message
    assert message.startswith(str(artifact.model))
    assert message.endswith("export the artifact again")
    for runner in ("ort-cpu", "openvino"):
        if RUNNERS[runner].problem() is None:
            assert said in refusal(lambda runner=runner: RUNNERS[runner].open(artifact, Options(1)))


def test_a_whole_graph_is_read_once(mini_artifact, monkeypatch):
    artifact = open_artifact(mini_artifact)
    assert read_graph(artifact).graph.output[0].name == OUTPUT
    check_graph(artifact)
    monkeypatch.setattr("resnas_deploy.artifact.graph.read_structure", lambda _: pytest.fail("it was read again"))
    check_graph(artifact)


def test_weights_of_another_network(mini_artifact, artifact_copy, untrained_artifact, altered):
    """Each file is whole and under its hash, but they are not of one network."""
    other = (untrained_artifact() / "weights.safetensors").read_bytes()
    (artifact_copy / "weights.safetensors").write_bytes(other)
    manifest = json.loads((artifact_copy / "manifest.json").read_text())
    manifest["files"]["weights.safetensors"] = hashlib.sha256(other).hexdigest()
    (artifact_copy / "manifest.json").write_text(json.dumps(manifest))
    artifact = altered((mini_artifact / "model.onnx").read_bytes())
    assert "must be of the network in manifest.json" in refusal(artifact.checkpoint)
