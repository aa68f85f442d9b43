"""The comparison networks: as published in parameters and MACs, and the same on every runtime that runs them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from support.checks import assert_close, refusal
from support.little_peers import LITTLE
from support.made_up_measuring import configuration
from torch.utils.flop_counter import FlopCounterMode

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring import peers
from resnas_deploy.measuring.baseline import opened_networks
from resnas_deploy.measuring.peer_int8 import write_for_onnxruntime
from resnas_deploy.measuring.peer_specs import PEERS, PIT, PeerSpec
from resnas_deploy.measuring.peers import beside_peers, open_peer
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import file_digest

PIT_MILLIONS = {"pit-tiny": 4.9, "pit-xs": 10.6, "pit-small": 23.5, "pit-base": 73.8}  # naver-ai/pit, README.md


@pytest.fixture(scope="module")
def opened():
    """A function: a small network, traced at most once a precision. All graphs are removed in the end."""
    made, managers = {}, []

    def make(name="deit-tiny", precision="fp32"):
        if (name, precision) not in made:
            managers.append(open_peer(name, precision, specs=LITTLE))
            made[name, precision] = managers[-1].__enter__()
        return made[name, precision]

    yield make
    paths = [peer.model for peer in made.values()]
    for manager in managers:
        manager.__exit__(None, None, None)
    assert not any(path.parent.exists() for path in paths)


def logits(peer, runner, images):
    with RUNNERS[runner].open(peer, Options(threads=2)) as running:
        return running.run(images)["logits"]


def noise(peer, batch):
    size = peer.image_size
    return np.random.default_rng(batch).standard_normal((batch, 3, size, size), np.float32)


@pytest.mark.parametrize("spec", PEERS.values(), ids=PEERS)
def test_parameters_and_macs_are_the_published(spec):
    with torch.device("meta"), torch.inference_mode():
        network = peers._build(spec).eval()
        with FlopCounterMode(display=False) as counter:
            images = torch.empty(1, 3, spec.image_size, spec.image_size)
            found = network(images) if spec.family == PIT else network(pixel_values=images).logits
    assert found.shape == (1, 1000)
    assert sum(value.numel() for value in network.parameters()) == spec.parameters
    counted = counter.get_total_flops() / 2e9
    if spec.family == PIT:  # whose paper counts a little more than products and convolutions
        assert 0.98 * spec.gmacs < counted <= spec.gmacs
        assert abs(spec.parameters / 1e6 - PIT_MILLIONS[spec.name]) < 0.06
    else:
        assert round(counted, 1) == spec.gmacs
        assert network.config._attn_implementation == spec.attention


@pytest.mark.parametrize(
    "name", ["deit-tiny", *(pytest.param(name, marks=pytest.mark.slow) for name in LITTLE if name != "deit-tiny")]
)
def test_the_same_logits_on_every_runtime(opened, name):
    peer = opened(name)
    for batch in (1, 5):
        images = noise(peer, batch)
        wanted = logits(peer, "torch", images)
        assert wanted.shape == (batch, 10)
        assert np.ptp(wanted, axis=1).min() > 0.01  # else anything would be close
        for runner in ("ort-cpu", "openvino"):
            assert_close(logits(peer, runner, images), wanted, 1e-5 * np.abs(wanted).max(), f"{name} on {runner}")


@pytest.mark.parametrize(
    ("precision", "runner", "tolerance"),
    [("fp16", "ort-cpu", 5e-3), ("fp16", "openvino", 5e-3), ("bf16", "openvino", 4e-2)],
)
def test_lower_precisions(opened, precision, runner, tolerance):
    images = noise(opened(), 3)
    wanted, found = logits(opened(), "torch", images), logits(opened(precision=precision), runner, images)
    assert found.dtype == np.float32
    assert_close(found, wanted, tolerance * np.abs(wanted).max(), f"{precision} on {runner}")
    assert np.abs(found - wanted).max() > 1e-5 * np.abs(wanted).max()  # it is another precision


@pytest.mark.parametrize(
    "name",
    ["deit-tiny", "pit-tiny", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pvt-tiny", "swin-tiny"))],
)
def test_int8_is_quantised_as_ours_is(opened, name):
    """All products with weights and all convolutions but the head, in types and with ranges that keep the logits."""
    graph = onnx.load(opened(name, "int8").model).graph
    made_by = {output: node for node in graph.node for output in node.output}
    weights = {tensor.name: tensor.data_type for tensor in graph.initializer}

    def quantised(name):
        node = made_by.get(name)
        return node is not None and node.op_type == "DequantizeLinear"

    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] not in weights]
    products = [node for node in products if quantised(node.input[1])]
    assert convolutions
    assert len(products) >= 8
    for node in (*convolutions, *products):
        assert all(quantised(operand) for operand in node.input[:2])
        assert weights[made_by[node.input[1]].input[0]] == onnx.TensorProto.INT8
    assert not [node for node in graph.node if node.op_type == "MatMul" and weights.get(node.input[1])]  # in float32
    (head,) = [node for node in graph.node if node.op_type == "Gemm"]
    assert weights[head.input[1]] == onnx.TensorProto.FLOAT
    images = noise(opened(name), 3)
    wanted = logits(opened(name), "torch", images)
    for runner in ("ort-cpu", "openvino"):
        found = logits(opened(name, "int8"), runner, images)
        assert_close(found, wanted, 0.3 * np.abs(wanted).max(), f"{name} int8 on {runner}")
        assert np.abs(found - wanted).max() > 1e-4 * np.abs(wanted).max()  # it is another precision


def test_int8_for_onnx_runtime_alone_computes_the_same_in_its_own_operators(opened, tmp_path):
    with open_peer("pit-tiny", "int8", specs=LITTLE, for_runner="ort-cpu") as peer:
        nodes = [node.op_type for node in onnx.load(peer.model).graph.node]
        portable = [node.op_type for node in onnx.load(opened("pit-tiny", "int8").model).graph.node]
        assert nodes.count("MatMulIntegerToFloat") >= 8
        assert "MatMulIntegerToFloat" not in portable
        images = noise(peer, 3)
        found, wanted = logits(peer, "ort-cpu", images), logits(opened("pit-tiny", "int8"), "ort-cpu", images)
        assert_close(found, wanted, 1e-5 * np.abs(wanted).max(), "its own operators")
        other = tmp_path / "own.onnx"
        write_for_onnxruntime(opened("pit-tiny", "int8").model, other)
        assert file_digest(other) == peer.digest  # which is how `tradeoff` makes it
        told = refusal(lambda: RUNNERS["openvino"].open(peer, Options(threads=1)))
        assert "pit-tiny must be run by ort-cpu, which its graph is written for" in told


def test_int8_for_openvino_alone_computes_the_same_in_its_form(opened):
    with open_peer("deit-tiny", "int8", specs=LITTLE, for_runner="openvino") as peer:
        assert {node.domain for node in onnx.load(peer.model).graph.node} <= {"", "ai.onnx"}
        assert peer.digest != opened("deit-tiny", "int8").digest
        images = noise(peer, 3)
        found, wanted = logits(peer, "openvino", images), logits(opened("deit-tiny", "int8"), "openvino", images)
        assert_close(found, wanted, 1e-5 * np.abs(wanted).max(), "its form")
        told = refusal(lambda: RUNNERS["ort-cpu"].open(peer, Options(threads=1)))
        assert "deit-tiny must be run by openvino, which its graph is written for" in told


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "FLOAT"), ("fp16", "FLOAT16"), ("bf16", "BFLOAT16")])
def test_the_graph(opened, precision, kind):
    model = onnx.load(opened(precision=precision).model)
    (images,), (found,) = model.graph.input, model.graph.output
    assert (images.name, found.name) == ("images", "logits")
    for value in (images, found):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert value.type.tensor_type.shape.dim[0].dim_param
    assert [item.version for item in model.opset_import if not item.domain] == [23]
    weights = [item for item in model.graph.initializer if len(item.dims) >= 2]
    assert {item.data_type for item in weights} == {onnx.TensorProto.DataType.Value(kind)}
    attentions = [node for node in model.graph.node if node.op_type == "Attention"]
    assert [len(node.input) for node in attentions] == [3, 3]  # no mask, which would be all ones


def test_what_it_says_of_itself():
    told = []
    with open_peer("deit-tiny", "fp16", told.append, LITTLE) as peer:
        assert peer.label == "deit-tiny fp16 64 (untrained weights)"
        assert (peer.source, peer.precision, peer.image_size, peer.arch) == ("deit-tiny", "fp16", 64, None)
        assert 1 in peer.batch
        assert 65 not in peer.batch
        assert told == []  # nothing was traced so far
        assert peer.digest == file_digest(peer.model)
        assert told == ["tracing deit-tiny fp16 64 (untrained weights)"]
        folder = peer.model.parent
    assert not folder.exists()


def test_the_weights_are_the_same_each_time_and_touch_no_other_generator(opened):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = opened().module(), opened().module()
    assert torch.equal(torch.get_rng_state(), before)
    assert first is not second
    assert not first.training
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def test_an_unknown_name_or_precision():
    message = refusal(lambda: open_peer("vgg", "fp32").__enter__())
    assert "must be one of deit-tiny, deit-small, deit-base, pit-tiny" in message
    assert "found 'vgg'" in message
    found = refusal(lambda: open_peer("deit-tiny", "fp8").__enter__())
    assert "must have a `precision` of fp32, fp16, bf16, int8, found 'fp8'" in found


def test_missing_packages(monkeypatch):
    monkeypatch.setattr(peers, "_PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(NotAvailable, match="missing: no_such_package; install it with: pip install no_such_package"):
        open_peer("pvt-tiny", "fp32").__enter__()


def test_specs_are_data():
    assert all(isinstance(spec, PeerSpec) and spec.name == name for name, spec in PEERS.items())
    assert len({spec.parameters for spec in PEERS.values()}) == len(PEERS)


def test_measuring_modules_import_nothing_heavy():
    """Only what is asked for is imported; one process imports every module of the package that exports nothing."""
    program = (
        "import importlib, pkgutil, sys, resnas_deploy.measuring as measuring\n"
        "names = [m.name for m in pkgutil.iter_modules(measuring.__path__, 'resnas_deploy.measuring.')]\n"
        "names.remove('resnas_deploy.measuring.choosing')\n"
        "assert len(names) > 5\n"
        "[importlib.import_module(name) for name in names]\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'openvino', 'transformers', 'pynvml'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_peers_are_of_the_first_artifacts_precision(untrained_artifact):
    artifact = open_artifact(untrained_artifact("bf16"))
    with beside_peers([artifact], ["deit-tiny", "pvt-tiny", "deit-tiny"], silent) as found:
        assert found[0] is artifact
        assert [(peer.source, peer.precision) for peer in found[1:]] == [("deit-tiny", "bf16"), ("pvt-tiny", "bf16")]
    engines = replace(artifact, manifest=replace(artifact.manifest, quantisation={"around": "fp16"}))
    told = refusal(lambda: beside_peers([engines], ["deit-tiny"], silent).__enter__())
    assert "`peers` are quantised as graphs for CPUs are, with fp32 around" in told
    own = replace(artifact, manifest=replace(artifact.manifest, precision="int8", for_runner="ort-cpu"))
    with beside_peers([own], ["deit-tiny"], silent) as found:
        assert (found[1].precision, found[1].for_runner) == ("int8", "ort-cpu")
        there = [configuration(source=each.source, label=each.label, precision="int8") for each in found]
    with opened_networks(there, [own], silent) as again:  # of a baseline
        assert [network.for_runner for network, _ in again.values()] == ["ort-cpu", "ort-cpu"]
    with beside_peers([], ["deit-tiny"], silent) as found:
        assert [peer.precision for peer in found] == ["fp32"]
