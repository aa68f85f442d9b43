"""Every name of TensorRT's that the worker uses exists, in TensorRT for RTX and in the bindings of TensorRT."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.little_engine import RTX, needs_builder

from resnas_deploy.engines import builder as worker

TREE = ast.parse(Path(worker.__file__).read_text())
CLASSES = {  # of what the worker's variables hold
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "layer": "ILayer",
    "tensor": "ITensor",
}
ONLY_TENSORRT = {"create_timing_cache", "set_timing_cache", "get_timing_cache"}
ONLY_RTX = {"ComputeCapability", "num_compute_capabilities", "set_compute_capability"}


def dotted(node):
    """`a.b.c` of attributes of a name; empty for attributes of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    inner = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inner}.{node.attr}" if inner else ""


USED = sorted(
    {
        name.replace(variable, f"trt.{CLASSES[variable]}", 1) if variable in CLASSES else name
        for node in ast.walk(TREE)
        if isinstance(node, ast.Attribute)
        for name in [dotted(node)]
        for variable in [name.partition(".")[0]]
        if variable in (*CLASSES, "trt")
    }
)


def test_the_names_were_found():
    assert {
        "trt.Builder",
        "trt.Builder.build_serialized_network",
        "trt.BuilderFlag.VERSION_COMPATIBLE",
        "trt.IBuilderConfig.set_compute_capability",
        "trt.IOptimizationProfile.set_shape",
        "trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED",
    } <= set(USED)
    assert len(USED) > 30


@needs_builder
def test_tensorrt_for_rtx_has_them():
    script = """
import json, sys, tensorrt_rtx as trt
missing = []
for name in json.loads(sys.argv[1]):
    found = trt
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    if found is None:
        missing.append(name)
print(json.dumps(missing))
"""
    names = [*USED, *(f"trt.ComputeCapability.SM{capability}" for capability in RTX.capabilities)]
    done = subprocess.run([sys.executable, "-c", script, json.dumps(names)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    missing = {name.rpartition(".")[2] for name in json.loads(done.stdout)}
    assert missing <= ONLY_TENSORRT


def test_tensorrt_has_them():
    bindings = importlib.util.find_spec("tensorrt_bindings")
    if bindings is None:
        pytest.skip("the wheel tensorrt-cu13-bindings is not installed")
    compiled = next(Path(bindings.origin).parent.glob("tensorrt*.so")).read_bytes()
    words = {word for name in USED for word in name.split(".")[1:]}
    missing = {word for word in words if word.encode() + b"\0" not in compiled}
    assert missing <= ONLY_RTX, "a name that neither has"
    assert words >= ONLY_TENSORRT
