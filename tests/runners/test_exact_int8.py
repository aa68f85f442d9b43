"""Sums of int8 products are exact on every CPU: those without VNNI would add pairs of them in 16 bits."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import served_program

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.runners import ort
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.exact_int8 import EXACT_INT8, PRODUCT, exact_int8
from resnas_deploy.runners.registry import RUNNERS

OPTIONS = Options(threads=1)
ROWS, WIDTH, CLASSES = 4, 64, 8
EMULATOR = shutil.which("qemu-x86_64")
HASWELL = "Haswell-v4,-pcid,-x2apic,-tsc-deadline,-invpcid,-spec-ctrl"  # less what the emulator would warn of


def large_products(activation):
    """A QDQ graph of one product whose pairs exceed 16 bits, with 1 as the scale of everything."""
    low, high, weight = (-128, 127, -128) if activation == TensorProto.INT8 else (0, 255, 127)
    constants = {
        "one": np.float32(1),
        "zero": np.array(0, helper.tensor_dtype_to_np_dtype(activation)),
        "weights": np.full((WIDTH, CLASSES), weight, np.int8),
        "ones": np.ones(CLASSES, np.float32),
        "zeros": np.zeros(CLASSES, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", [INPUT, "one", "zero"], ["quantised"]),
        helper.make_node("DequantizeLinear", ["quantised", "one", "zero"], ["values"]),
        helper.make_node("DequantizeLinear", ["weights", "ones", "zeros"], ["right"], axis=1),
        helper.make_node("MatMul", ["values", "right"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, (None, WIDTH))],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (None, CLASSES))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    rows = np.full((ROWS, WIDTH), high if weight > 0 else low, np.float32)
    return model.SerializeToString(), rows, rows @ constants["weights"].astype(np.float32)


@pytest.mark.parametrize("activation", [TensorProto.UINT8, TensorProto.INT8], ids=["uint8", "int8"])
def test_large_products(artifact, activation):
    model, rows, wanted = large_products(activation)
    with RUNNERS["ort-cpu"].open(artifact, replace(OPTIONS, model=model)) as runner:
        np.testing.assert_array_equal(runner.run(rows)[OUTPUT], wanted)


def test_the_product_that_is_tried(served):
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("a", TensorProto.UINT8, None),
            helper.make_tensor_value_info("b", TensorProto.INT8, None),
        ],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=4, producer_name="")
    model.ClearField("producer_name")
    assert model.SerializeToString(deterministic=True) == PRODUCT == served._PRODUCT


@pytest.mark.parametrize(("sums", "wanted"), [(255 * 127 * 64, "0"), (32767 * 32, "1")])
def test_wider_sums_are_asked_for_where_the_cpu_overflows(served, monkeypatch, sums, wanted):
    """And nowhere else: asking costs almost half of the speed where there is VNNI without AMX."""

    class Session:
        def __init__(self, *_, **__):
            pass

        def run(self, _, feed):
            return [np.full((len(feed["a"]), feed["b"].shape[1]), sums, np.int32)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    assert exact_int8.__wrapped__() == served._exact_int8(onnxruntime) == wanted


@pytest.fixture
def served(monkeypatch):
    """The program that Triton's Python backend runs."""
    return served_program.load(monkeypatch)


@pytest.mark.parametrize("value", ["0", "1"])
def test_every_session_says_it(artifact, served, tmp_path, monkeypatch, value):
    monkeypatch.setattr(ort, "exact_int8", lambda: value)
    monkeypatch.setattr(served, "_exact_int8", lambda _: value)
    with RUNNERS["ort-cpu"].open(artifact, OPTIONS) as runner:
        assert runner._session.get_session_options().get_session_config_entry(EXACT_INT8) == value
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(large_products(TensorProto.UINT8)[0])
    model = served_program.initialised(served, tmp_path)
    assert model._session.get_session_options().get_session_config_entry(EXACT_INT8) == value


EMULATED = """
import sys
from pathlib import Path
import numpy as np
from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
artifact, folder = open_artifact(Path(sys.argv[1])), Path(sys.argv[2])
for model in folder.glob("*.onnx"):
    arrays = np.load(model.with_suffix(".npz"))
    with RUNNERS["ort-cpu"].open(artifact, Options(threads=1, model=model.read_bytes())) as runner:
        np.testing.assert_array_equal(runner.run(arrays["rows"])[OUTPUT], arrays["wanted"])
assert RUNNERS["openvino"].problem() is None
print(RUNNERS["openvino-bf16"].problem())
"""


@pytest.mark.slow
@pytest.mark.skipif(EMULATOR is None, reason="qemu-user is not installed: no CPU without VNNI to try")
def test_on_a_cpu_without_vnni_and_bf16(artifact, tmp_path):
    """An emulated Haswell, which has AVX2 and nothing later."""
    for number, activation in enumerate((TensorProto.UINT8, TensorProto.INT8)):
        model, rows, wanted = large_products(activation)
        (tmp_path / f"{number}.onnx").write_bytes(model)
        np.savez(tmp_path / f"{number}.npz", rows=rows, wanted=wanted)
    emulated = [EMULATOR, "-cpu", HASWELL, "-0", sys.executable, str(Path(sys.executable).resolve())]
    command = [*emulated, "-c", EMULATED, str(artifact.folder), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("this CPU cannot compute in bf16, OpenVINO found only ")
