"""The process that builds: what it does to a graph before, and what it says when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from support.checks import refusal
from support.little_engine import RTX, needs_builder

from resnas_deploy.engines import builder_process as compiler
from resnas_deploy.engines.builder import Refused, _check_shapes
from resnas_deploy.engines.builder_process import _remedy, compile_engine
from resnas_deploy.engines.layers import parse_layers
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.engines.request import builder_request
from resnas_deploy.progress import silent

MISREAD = """
import importlib, json, onnx, sys
from onnx import inliner
from resnas_deploy.engines.builder import Refused, _check_shapes, _logger
import tensorrt_rtx as trt
import io
said = {}
for name in ("as it is", "inlined"):
    builder = trt.Builder(logger := _logger(trt, io.StringIO()))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    model = onnx.load(sys.argv[1])
    inlined = inliner.inline_local_functions(model)
    assert parser.parse((model if name == "as it is" else inlined).SerializeToString())
    try:
        said[name] = _check_shapes(inlined, network)
    except Refused as error:
        said[name] = str(error)
print(json.dumps(said))
"""


@pytest.fixture
def strided(tmp_path):
    """A graph whose convolution takes its stride, 2, from the function's node: half as many rows and columns."""
    conv = helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1] * 4, kernel_shape=[3, 3])
    conv.attribute.append(AttributeProto(name="strides", ref_attr_name="step", type=AttributeProto.INTS))
    opset = [helper.make_opsetid("", 23)]
    function = helper.make_function("resnas", "Halved", ["x", "w"], ["y"], [conv], opset, attributes=["step"])
    weight = numpy_helper.from_array(helper.np.ones((4, 3, 3, 3), "float32"), "weight")
    graph = helper.make_graph(
        [helper.make_node("Halved", ["images", "weight"], ["logits"], name="halved", domain="resnas", step=[2, 2])],
        "strided",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4, 4, 4])],
        [weight],
    )
    model = helper.make_model(
        graph, ir_version=11, opset_imports=[*opset, helper.make_opsetid("resnas", 1)], functions=[function]
    )
    path = tmp_path / "strided.onnx"
    onnx.save(model, path)
    return path


def request(model, **changes):
    usual = builder_request(RTX, model, (3, 8, 8), BuildOptions(profiles=(BatchProfile.parse("1:1:2"),)))
    return usual | changes


@needs_builder
def test_attributes_that_a_function_hands_on(strided, tmp_path):
    """TensorRT for RTX 1.7 reads such a stride as 1. The worker inlines functions, and refuses what was misread."""
    done = subprocess.run([sys.executable, "-c", MISREAD, str(strided)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["inlined"] is None
    assert said["as it is"] == "the parser misread logits: its shape must be [-1, 4, 4, 4], found [-1, 4, 8, 8]"
    log = compile_engine(request(strided), tmp_path / "out", tmp_path / "log", silent)
    outputs = [tensor for layer in parse_layers(log) for tensor in layer.outputs if tensor.name == "logits"]
    assert [tensor.dims for tensor in outputs] == [(-1, 4, 4, 4)]


def network_of(*tensors):
    """What `_check_shapes` reads of a parsed network: one layer."""
    found = [SimpleNamespace(name=name, shape=shape) for name, shape in tensors]
    layer = SimpleNamespace(num_outputs=len(found), get_output=found.__getitem__)
    return SimpleNamespace(num_layers=1, get_layer=lambda _number: layer)


def test_every_shape_is_compared(strided):
    model = onnx.inliner.inline_local_functions(onnx.load(strided))
    _check_shapes(model, network_of(("logits", (-1, 4, 4, 4)), ("of no value", (7,))))
    for wrong in ((-1, 4, 4, 5), (1, 4, 4, 4), (-1, 4, 4), ()):
        with pytest.raises(Refused, match=r"misread logits: its shape must be \[-1, 4, 4, 4\], found"):
            _check_shapes(model, network_of(("other", (1,)), ("logits", wrong)))


def test_what_helps_where_attention_has_no_kernel():
    log = "VERBOSE a\nERROR CHECK failed. Attention operation was not supported by a dedicated kernel. (See ..)\n"
    assert _remedy(log) == "; export it with `spelling` packed+grid, which has none"
    assert _remedy("ERROR out of memory\n") == ""


@needs_builder
@pytest.mark.parametrize("content", [b"", b"not a graph", None], ids=["empty", "text", "cut"])
def test_a_corrupted_graph(strided, tmp_path, content):
    strided.write_bytes(strided.read_bytes()[:-60] if content is None else content)
    kept = tmp_path / "kept.log"
    line = refusal(lambda: compile_engine(request(strided), tmp_path / "out", kept, silent))
    assert line.startswith("the engine could not be built: ")
    assert line.endswith(f" (the whole log: {kept})")
    assert len(line) < 400 + len(str(kept))
    assert "ERROR" in kept.read_text()
    assert not (tmp_path / "out").exists()


@needs_builder
def test_a_log_that_cannot_be_kept_is_not_named(strided, tmp_path):
    strided.write_bytes(b"not a graph")
    (tmp_path / "taken").write_text("")
    line = refusal(lambda: compile_engine(request(strided), tmp_path / "out", tmp_path / "taken" / "log", silent))
    assert "log:" not in line


@needs_builder
def test_a_long_message_is_shortened(strided, tmp_path):
    line = refusal(
        lambda: compile_engine(request(strided, workspace_bytes=2**70), tmp_path / "out", tmp_path / "log", silent)
    )
    assert " .. (the whole log:" in line
    assert "incompatible function arguments" in (tmp_path / "log").read_text()


def test_a_module_that_is_not_there(strided, tmp_path):
    line = refusal(
        lambda: compile_engine(request(strided, module="no_builder"), tmp_path / "out", tmp_path / "log", silent)
    )
    assert "No module named 'no_builder'" in line


def test_a_worker_that_cannot_start(strided, tmp_path, monkeypatch):
    """Its own complaint is in the log that is kept."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    follow = compiler._follow

    def follow_the_dead(process, *rest):
        process.wait()  # before anything is written to it, which then breaks
        return follow(process, *rest)

    monkeypatch.setattr(compiler, "_follow", follow_the_dead)
    line = refusal(lambda: compile_engine(request(strided), tmp_path / "out", tmp_path / "log", silent))
    assert "the builder stopped with exit status 3" in line
    assert (tmp_path / "log").read_text() == "broken\n"


def test_a_worker_that_dies_while_it_writes(strided, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text('#!/bin/sh\nprintf \'{"phase": "half\'\nkill -9 $$\n')
    (tmp_path / "python").chmod(0o755)
    line = refusal(lambda: compile_engine(request(strided), tmp_path / "out", tmp_path / "log", silent))
    assert "the builder was ended by SIGKILL" in line


def test_a_worker_whose_caller_is_gone_ends():
    done = subprocess.run(
        [sys.executable, "-m", "resnas_deploy.engines.builder"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert done.stdout == b""
