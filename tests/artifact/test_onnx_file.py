"""A bare ONNX file of anybody's: what is read of it, that runners run it as it is, and what is refused in one line."""

from __future__ import annotations

import hashlib
import os
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import bare_onnx as bare
from support.checks import assert_close, refusal

from resnas_deploy.arch import cost
from resnas_deploy.artifact.artifact import LFS_POINTER, open_artifact
from resnas_deploy.artifact.onnx_file import open_onnx
from resnas_deploy.precision import tolerance_of
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

RUN_BY = [name for name in ("ort-cpu", "openvino") if RUNNERS[name].problem() is None]


def images(count=3):
    return np.random.default_rng(0).standard_normal((count, 3, bare.SIDE, bare.SIDE), np.float32)


def run(file, runner, given):
    with RUNNERS[runner].open(file, Options(1)) as opened:
        return opened.run(given)


@pytest.mark.parametrize("runner", RUN_BY)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"names": ("images", "logits")},
        {"names": ("logits", "images")},
        {"inner": ("images", "logits")},
        {"names": ("logits", "y"), "inner": ("images.inner", "images")},
        {"shape": (2, 3, bare.SIDE, bare.SIDE)},
    ],
)
def test_whatever_its_values_are_called_it_computes_the_same(tmp_path, runner, changes):
    file = open_onnx(bare.save(bare.network(**changes), tmp_path / "a.onnx"))
    given = images(2)
    found = run(file, runner, given)
    assert_close(found["logits"], bare.logits(given), 1e-4, runner)
    if runner == "ort-cpu":
        assert list(found) == ["logits"]  # the features are computed for nobody


@pytest.mark.parametrize("runner", RUN_BY)
@pytest.mark.parametrize("changes", [{}, {"names": ("images", "logits")}, {"inner": ("logits", "images")}])
def test_a_half_precision_file_takes_float32_images_all_the_same(tmp_path, runner, changes):
    file = open_onnx(bare.save(bare.network(dtype="float16", **changes), tmp_path / "a.onnx"))
    assert file.precision == "fp16"
    given = images()
    found, wanted = run(file, runner, given)["logits"], bare.logits(given)
    assert found.dtype == np.float32
    assert_close(found, wanted, tolerance_of("fp16") * abs(wanted).max(), runner)


def test_what_is_known_of_it(tmp_path):
    path = bare.save(bare.network(), tmp_path / "a.onnx")
    file = open_onnx(path)
    assert file.label == "a.onnx fp32 16 (weights unknown)"
    assert (file.image_size, file.ends.classes, str(file.batch)) == (bare.SIDE, bare.CLASSES, "1:4096")
    assert file.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file.facts.weights == {"float32": sum(value.size for value in bare.weights().values())}
    assert file.facts.macs == 16 * 48 * bare.WIDTH + bare.WIDTH * bare.CLASSES
    assert file.facts.operators == {"Conv": 1, "MatMul": 1, "ReduceMean": 1}
    assert [value.name for value in file.ends.outputs] == ["features", "scores"]
    assert file.producer == "somebody's exporter"
    assert open_onnx(file) is file
    assert open_onnx(bare.save(bare.network(shape=(4, 3, 16, 16)), tmp_path / "b.onnx")).batch.fixed


def test_macs_of_one_of_our_own_graphs(mini_artifact):
    """With attention as one operator and reductions in functions. The last block computes one token of 17, not all."""
    file = open_onnx(mini_artifact / "model.onnx")
    assert 0.99 < file.facts.macs / cost.macs(open_artifact(mini_artifact).arch) < 1
    assert file.label == f"{mini_artifact.name}/model.onnx fp32 112 (weights unknown)"
    assert file.digest == open_artifact(mini_artifact).digest


def test_what_was_opened_is_what_runs(tmp_path):
    path = bare.save(bare.network(), tmp_path / "a.onnx")
    file = open_onnx(path)
    bare.save(bare.network(seed=1), path)
    assert_close(run(file, "ort-cpu", images())["logits"], bare.logits(images()), 1e-4, "the file of before")
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {"a.onnx"}


@pytest.mark.parametrize("runner", RUN_BY)
def test_weights_beside_the_graph(tmp_path, runner):
    path = bare.save(bare.network(), tmp_path / "a.onnx", beside="a.onnx.data")
    file = open_onnx(path)
    assert [name for name, _ in file.beside] == ["a.onnx.data"]
    assert file.digest != hashlib.sha256(path.read_bytes()).hexdigest()
    assert_close(run(file, runner, images())["logits"], bare.logits(images()), 1e-4, runner)
    bare.save(bare.network(seed=1), path, beside="a.onnx.data")
    assert open_onnx(path).digest != file.digest


def relocated(path, name):
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    path.write_bytes(model.SerializeToString())


def beside_changed(path, key, value):
    model = onnx.load(path, load_external_data=False)
    entry = next(entry for entry in model.graph.initializer[0].external_data if entry.key == key)
    entry.value = value
    path.write_bytes(model.SerializeToString())


def to_a_link(path):
    data = path.with_name("a.data")
    shutil.move(data, path.parent.parent / "elsewhere")
    data.symlink_to(path.parent.parent / "elsewhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: relocated(path, "../a.data"), "weights must lie in files of the graph's own folder"),
        (lambda path: relocated(path, "/etc/passwd"), "weights must lie in files of the graph's own folder"),
        (lambda path: relocated(path, ".."), "weights must lie in files of the graph's own folder"),
        (lambda path: relocated(path, "sub/a.data"), "weights must lie in files of the graph's own folder"),
        (lambda path: relocated(path, ""), "weights must lie in files of the graph's own folder"),
        (lambda path: relocated(path, "other"), "found no 'other'; copy that file to it too"),
        (to_a_link, "weights must not be links, found one at 'a.data'"),
        (lambda path: (path.with_name("a.data").unlink(), os.mkfifo(path.with_name("a.data"))), "found 'a.data'"),
        (lambda path: os.truncate(path.with_name("a.data"), 100), "'a.data' beside it must be whole"),
        (lambda path: path.with_name("a.data").write_bytes(LFS_POINTER + b"/spec"), "git lfs pull"),
        (lambda path: beside_changed(path, "offset", "999999999999"), "'a.data' beside it must be whole"),
        (lambda path: beside_changed(path, "offset", "-4"), "'kernel' must have 1536 bytes in 'a.data'"),
        (lambda path: beside_changed(path, "length", "12"), "'kernel' must have 1536 bytes in 'a.data'"),
        (lambda path: os.truncate(path.with_name("a.data"), 2**31), "in files of at most 2147483647 bytes"),
    ],
)
def test_weights_that_do_not_lie_there(tmp_path, change, said):
    (tmp_path / "in").mkdir()
    path = bare.save(bare.network(), tmp_path / "in" / "a.onnx", beside="a.data")
    change(path)
    line = refusal(lambda: open_onnx(path))
    assert line.startswith(str(path))
    assert said in line


def without_channels_first(model):
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_value, dims[3].dim_value = bare.SIDE, 3


def dim(number, value):
    def change(model):
        entry = model.graph.input[0].type.tensor_type.shape.dim[number]
        if isinstance(value, str):
            entry.dim_param = value
        else:
            entry.dim_value = value

    return change


def two_inputs(model):
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch"]))


def no_images(model):
    model.graph.input[0].type.tensor_type.shape.CopyFrom(
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 128]).type.tensor_type.shape
    )


def tokens(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64


def levels(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def without_logits(model):
    del model.graph.output[1]


def function_in_itself(model):
    call = helper.make_node("again", ["x"], ["y"], domain="mine")
    opsets = [helper.make_opsetid("mine", 1)]
    model.functions.append(helper.make_function("mine", "again", ["x"], ["y"], [call], opsets))
    model.graph.node.append(helper.make_node("again", ["pooled"], ["more"], domain="mine"))


def functions_in_functions(model):
    """Fifty calls that make 2**50 nodes when they are put in."""
    opsets = [helper.make_opsetid("mine", 1)]
    for number in range(50):
        inner = ("mine", f"f{number + 1}") if number < 49 else ("", "Relu")
        nodes = [helper.make_node(inner[1], ["x"], [name], domain=inner[0]) for name in ("y", "z")]
        model.functions.append(helper.make_function("mine", f"f{number}", ["x"], ["y"], nodes, opsets))
    model.graph.node.append(helper.make_node("f0", ["pooled"], ["more"], domain="mine"))


def escape_in_a_value(model):
    """Which the checker quotes, as it is."""
    model.graph.node[1].input[0] = "\x1b[2J"


def escapes(model):
    model.producer_name = "\x1b[2J"


def huge(model):
    shape = numpy_helper.from_array(np.array([2**20, 2**20], np.int64), "shape")
    model.graph.initializer.extend([shape, numpy_helper.from_array(np.zeros((1, 1), np.float32), "one")])
    model.graph.node.append(helper.make_node("Expand", ["one", "shape"], ["much"], name="much"))


def double_weights(model):
    for tensor in model.graph.initializer[:3]:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def cut_weights(model):
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_channels_first, "channels first"),
        (dim(1, 1), "images must have 3 channels"),
        (dim(1, 6), "images must have 3 channels"),
        (dim(2, "height"), "the size of images must be fixed"),
        (dim(2, 32), "images must be square"),
        (dim(0, 5000), "the batch must be from 1 to 4096, found 5000"),
        (two_inputs, "there must be one input, the images, found 2"),
        (lambda model: model.graph.ClearField("input"), "whole ONNX graph"),
        (no_images, "the input must be images, (B, 3, S, S), found 'pixel_values, float32 (batch, 128)'"),
        (tokens, "the input must be float images"),
        (levels, "the input must be float images"),
        (without_logits, "an output must be logits, float (B, classes) with its shape declared, found 1: "),
        (function_in_itself, "functions must end, found 'again' in itself"),
        (functions_in_functions, "at most 100000 nodes"),
        (escape_in_a_value, "must be topologically sorted, however input '?[2J'"),
        (escapes, "names must be printable text"),
        (huge, "no tensor may have more than"),
        (double_weights, "weights must be float32, float16 or bfloat16, found float64"),
        (cut_weights, "whole ONNX graph"),
        (lambda model: model.graph.ClearField("node"), "found no operators"),
    ],
)
def test_a_graph_that_is_no_network_from_images_to_logits(tmp_path, change, said):
    model = bare.network()
    change(model)
    path = bare.save(model, tmp_path / "a.onnx")
    line = refusal(lambda: open_onnx(path))
    assert line.startswith(str(path))
    assert said in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "found an empty file"),
        (b"\xff" * 1000, "must be a whole ONNX graph"),
        (b"garbage\n" * 100, "must be"),
        (LFS_POINTER + b"/spec/v1\noid sha256:0\nsize 1\n", "fetch that by: git lfs pull"),
    ],
)
def test_a_file_that_is_none(tmp_path, content, said):
    (tmp_path / "a.onnx").write_bytes(content)
    assert said in refusal(lambda: open_onnx(tmp_path / "a.onnx"))


def test_what_is_no_file_and_what_is_too_large(tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "link.onnx").symlink_to("nowhere")
    (tmp_path / "large.onnx").touch()
    os.truncate(tmp_path / "large.onnx", 2**31)
    for name, said in (
        ("folder", "found a folder"),
        ("pipe", "found a pipe"),
        ("link", "where nothing is"),
        ("large", "at most 2147483647 bytes, found a file of 2147483648 bytes"),
        ("none", "No such file"),
    ):
        assert said in refusal(lambda name=name: open_onnx(tmp_path / f"{name}.onnx"))


def test_a_graph_inside_that_reads_an_outer_value(tmp_path):
    """Both branches of an `If` read the network's input by its own name, which is changed."""
    model = bare.network(names=("x", "scores"))
    branches = {
        name: helper.make_graph(
            [helper.make_node("Identity", ["x"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, bare.SIDE, bare.SIDE])],
        )
        for name in ("then_branch", "else_branch")
    }
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.insert(0, helper.make_node("If", ["yes"], ["chosen"], **branches))
    model.graph.node[1].input[0] = "chosen"
    file = open_onnx(bare.save(model, tmp_path / "a.onnx"))
    assert file.facts.macs is None
    assert file.facts.operators["Identity"] == 2
    assert_close(run(file, "ort-cpu", images())["logits"], bare.logits(images()), 1e-4, "If")


def with_operator(domain, name):
    model = bare.network()
    model.opset_import.append(helper.make_opsetid(domain, 1))
    model.graph.node[0].output[0] = "before"
    model.graph.node.insert(1, helper.make_node(name, ["before"], ["features"], domain=domain))
    return model


def test_operators_of_other_domains(tmp_path):
    """The runtime's own are run by it; what nobody knows, the runtime refuses in one line."""
    file = open_onnx(bare.save(with_operator("com.microsoft", "Gelu"), tmp_path / "a.onnx"))
    assert file.facts.operators["com.microsoft.Gelu"] == 1
    assert file.facts.macs is None
    assert np.isfinite(run(file, "ort-cpu", images())["logits"]).all()
    nobodys = open_onnx(bare.save(with_operator("mine", "Magic"), tmp_path / "b.onnx"))
    for runner in RUN_BY:
        line = refusal(lambda runner=runner: run(nobodys, runner, images()))
        assert line.startswith(f"{nobodys.path}: ")
        assert "cannot load the graph" in line
        assert "/proc/" not in line


def test_runners_of_weights_and_of_engines_refuse_it_by_name(tmp_path):
    file = open_onnx(bare.save(bare.network(), tmp_path / "a.onnx"))
    for runner in ("torch", "torch-compile", "torch-compile-max", "aoti"):
        if RUNNERS[runner].problem() is None:
            line = refusal(lambda runner=runner: RUNNERS[runner].open(file, Options(1)))
            assert f"the runner {runner} runs PyTorch modules, found the bare ONNX file {file.path}" in line
    assert "which has none" in refusal(file.module)


def test_quantised_by_others(tmp_path):
    """A graph that quantises activations counts as int8, whatever its weights are kept in, and runs."""
    model = bare.network()
    scale = numpy_helper.from_array(np.array(0.05, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(0, np.int8), "zero")
    model.graph.initializer.extend([scale, zero])
    for number, (kind, given, made) in enumerate(
        [("QuantizeLinear", "pixel_values", "q"), ("DequantizeLinear", "q", "rounded")]
    ):
        model.graph.node.insert(number, helper.make_node(kind, [given, "scale", "zero"], [made]))
    model.graph.node[2].input[0] = "rounded"
    file = open_onnx(bare.save(model, tmp_path / "a.onnx"))
    assert file.precision == "int8"
    given = np.clip(images(), -6, 6)
    wanted = bare.logits(np.round(given / 0.05) * np.float32(0.05))
    for runner in RUN_BY:
        assert_close(run(file, runner, given)["logits"], wanted, 1e-2 * abs(wanted).max(), runner)


def test_products_of_quantised_matrices_run_on_cpus_without_vnni_too(tmp_path, monkeypatch):
    """What ours are told there, ONNX Runtime 1.32 cannot do with `QLinearMatMul` of signed weights."""
    monkeypatch.setattr("resnas_deploy.runners.ort.exact_int8", lambda: "1")
    model, head = bare.network(), bare.weights()["head"]
    numbers = {
        "scale": np.float32(0.1),
        "zero": np.uint8(128),
        "head_scale": np.float32(abs(head).max() / 127),
        "head_zero": np.int8(0),
        "out_scale": np.float32(0.2),
        "out_zero": np.uint8(128),
        "head_q": np.round(head / (abs(head).max() / 127)).astype(np.int8),
    }
    model.graph.initializer.extend(numpy_helper.from_array(np.array(each), name) for name, each in numbers.items())
    del model.graph.node[2]
    product = ["q", "scale", "zero", "head_q", "head_scale", "head_zero", "out_scale", "out_zero"]
    for kind, inputs, output in (
        ("QuantizeLinear", ["pooled", "scale", "zero"], "q"),
        ("QLinearMatMul", product, "out_q"),
        ("DequantizeLinear", ["out_q", "out_scale", "out_zero"], "scores"),
    ):
        model.graph.node.append(helper.make_node(kind, inputs, [output]))
    file = open_onnx(bare.save(model, tmp_path / "a.onnx"))
    assert file.precision == "int8"
    wanted = bare.logits(images())
    assert_close(run(file, "ort-cpu", images())["logits"], wanted, 0.5, "QLinearMatMul")
