"""Kernels that TensorRT for RTX makes of each spelling, beside what it makes of the plain module traced by PyTorch.

Run: .venv/bin/python benchmarks/kernel_counts.py
Writes results/kernel-counts.json: fp16, a dynamic batch of 1 to 64, portable; and seconds of building small.
"""

from __future__ import annotations

import ast
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from conftest import trace
from recording import write_result

from resnas_deploy.arch.elements import elements
from resnas_deploy.arch.inputs import FLOAT32
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.builder_process import compile_engine
from resnas_deploy.engines.layers import parse_layers
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.engines.report import element_of
from resnas_deploy.engines.request import builder_request
from resnas_deploy.engines.targets import target_named
from resnas_deploy.exporting.kernel_counts import count_kernels
from resnas_deploy.exporting.request import Request
from resnas_deploy.graph.spelling import FOR_TENSORRT, SPELLINGS
from resnas_deploy.weights.checkpoint import untrained

BATCH, BUILDS = BatchRange(1, 64), 5
SCOPES = "pkg.torch.onnx.name_scopes"  # where torch.onnx.export keeps a node's module


def quiet(_):
    """Progress that nobody reads."""


def traced(checkpoint, folder, opset):
    """Trace the plain module in fp16, every node renamed to begin with the element that it is of."""
    path = trace(checkpoint, folder, opset, torch.half).path
    found = onnx.load(path)
    for number, node in enumerate(found.graph.node):
        scopes = [entry.value for entry in node.metadata_props if entry.key == SCOPES]
        module = ast.literal_eval(scopes[0])[-2] if scopes else ""  # the last is the node itself
        node.name = f"{module}.{node.op_type}_{number}" if module else f"{node.op_type}_{number}"
    onnx.save(found, path)
    return path


def count_traced(checkpoint, path):
    """Count the kernels of a traced graph: all, and those that touch each element."""
    image, options = FLOAT32.dims(checkpoint.arch.image_size), BuildOptions(profiles=(BatchProfile.parse("1:8:64"),))
    request = builder_request(target_named("tensorrt-rtx"), path, image, options)
    log = compile_engine(request, path.with_suffix(".engine"), path.with_suffix(".log"), quiet)
    kernels = [layer for layer in parse_layers(log) if layer.is_kernel]
    known = [element.name for element in elements(checkpoint.arch)]
    touched = [{element_of(node, known) for node in layer.nodes} for layer in kernels]
    return {
        "kernels": len(kernels),
        "by_element": {name: sum(name in names for names in touched) for name in known},
    }


def main() -> None:
    """Count every network and write the result file."""
    target, found = target_named("tensorrt-rtx"), {}
    for name, entry in PUBLISHED.items():
        checkpoint = untrained(entry.arch)
        request = Request("counted", Path("counted"), "fp16", BATCH, for_engine=True, verify_on=None)
        counts = count_kernels(checkpoint, request, target, BuildOptions(), SPELLINGS.values(), quiet)
        rows = {
            count.spelling.name: {
                "kernels": count.report["kernels"],
                "by_element": {part["element"]: part["kernels"] for part in count.report["parts"]},
            }
            for count in counts
        }
        with tempfile.TemporaryDirectory() as folder:
            for opset in (None, 23):
                path = traced(checkpoint, Path(folder), opset)
                rows[f"traced, opset {opset or 'of torch'}"] = count_traced(checkpoint, path)
        found[name] = rows
        print(name, {row: counted["kernels"] for row, counted in rows.items()}, flush=True)
    seconds = build_seconds(target)
    write_result(
        "kernel-counts",
        {
            "builder": f"tensorrt_rtx {version('tensorrt-rtx-cu13')}",
            "networks": found,
            "build_small_fp16_s": {"median": float(np.median(seconds)), "samples_s": seconds},
        },
    )


def build_seconds(target):
    """Return the seconds of building small in fp16, child process, parsing and report included."""
    request = Request("small", Path("small"), "fp16", BATCH, for_engine=True, verify_on=None)
    seconds = []
    for _ in range(BUILDS):
        checkpoint = untrained(PUBLISHED["small"].arch)
        made = count_kernels(checkpoint, request, target, BuildOptions(), [FOR_TENSORRT], quiet)
        seconds.append(made[0].seconds)
    return seconds


if __name__ == "__main__":
    main()
