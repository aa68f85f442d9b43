"""A build for TensorRT as its documents say that it goes, in the builder's own process, by versions 10 and 11."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import onnx
import pytest
from support.documented import tensorrt_builder
from support.little_engine import TENSORRT, exported

from resnas_deploy.engines import build as building
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.progress import silent


def test_a_good_fp16_engine_is_proved_and_kept(artifact, version):
    options = BuildOptions(profiles=(BatchProfile(1, 1, 1), BatchProfile(2, 4, 8)))
    report = build_engine(artifact, TENSORRT, options, silent).engine.report
    assert report["layers"]["fallbacks"] == []
    assert report["layers"]["kinds"]["gemm"] > 10
    assert all(part["precisions"] == ["fp16"] for part in report["layers"]["parts"])


def test_the_mean_is_taken_off_bytes_in_float32(version, tmp_path):
    levels = exported(tmp_path / "levels", input="uint8")
    layers = build_engine(levels, TENSORRT, BuildOptions(), silent).engine.report["layers"]
    assert layers["fallbacks"] == []
    assert layers["parts"][0]["precisions"] == ["fp16"]


def test_a_product_in_float32_is_found(artifact, version, monkeypatch):
    """The graph that is built has one product in float32, between casts, which the artifact's graph has not."""
    model = onnx.load(artifact.graph)
    product = next(node for node in model.graph.node if node.name == "stage2.block1.mlp.fc2.matmul")
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == product.input[1])
    values = onnx.numpy_helper.to_array(weight).astype("float32")
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    where = list(model.graph.node).index(product)
    before = onnx.helper.make_node("Cast", [product.input[0]], ["wide_in"], name="widen", to=onnx.TensorProto.FLOAT)
    after = onnx.helper.make_node("Cast", ["wide_out"], [product.output[0]], name="narrow", to=onnx.TensorProto.FLOAT16)
    product.input[0], product.output[0] = "wide_in", "wide_out"
    model.graph.node.insert(where + 1, after)
    model.graph.node.insert(where, before)
    del model.graph.value_info[:]
    wide = artifact.folder.parent / "wide.onnx"
    onnx.save(model, wide)
    request = building._request
    monkeypatch.setattr(building, "_request", lambda *of: request(*of) | {"model": str(wide)})
    with pytest.raises(VerificationFailed, match="must compute in fp16, as the graph says, found that") as caught:
        build_engine(artifact, TENSORRT, BuildOptions(), silent)
    lines = caught.value.report.fallbacks
    assert any(re.fullmatch(r"stage2\.block1\.mlp\.fc2\.matmul_myl0_\d+ computes in fp32", line) for line in lines)
    assert not list((artifact.folder / "engines").iterdir())


def test_the_double_has_the_names_of_the_real_bindings():
    found = importlib.util.find_spec("tensorrt_bindings")
    if found is None:
        pytest.skip("tensorrt_bindings is not installed")
    (library,) = Path(found.origin).parent.glob("tensorrt*.so")
    content = library.read_bytes()
    module = tensorrt_builder.names("11.4.0.106")
    asked = set(module) | set(module["BuilderFlag"].__members__)
    for kind in (*module.values(), tensorrt_builder.IBuilderConfig, tensorrt_builder.IOptimizationProfile):
        asked |= {name for name in vars(kind) if not name.startswith("_")}
    assert {name for name in asked if name.encode() + b"\0" not in content} == {"MAGIC"} & asked
    assert not {"FP16", "INT8", "BF16", "FP8"} & set(module["BuilderFlag"].__members__)
    assert "FP16" in tensorrt_builder.names("10.15.1.29")["BuilderFlag"].__members__
