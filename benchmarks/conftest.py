"""What the benchmarks share: the small network's weights, its traced graphs, and where results are recorded.

Run all of them: make bench. Run one, and write its result: .venv/bin/python -m pytest benchmarks/test_latency.py
--benchmark-only -s --record
"""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from recording import write_result

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.network.module import build_model
from resnas_deploy.weights.checkpoint import untrained


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="write what was measured to benchmarks/results/")


@dataclass(frozen=True)
class Traced:
    """A graph that torch.onnx.export traced from our module."""

    path: Path
    seconds: float  # of tracing and of serialising the model


@pytest.fixture(scope="session")
def checkpoint():
    return untrained(PUBLISHED["small"].arch)


@pytest.fixture(scope="session")
def traced(checkpoint, tmp_path_factory):
    """Trace the module at the opset that torch prefers, and at the one that we emit."""
    return {
        f"traced, opset {opset or 'of torch'}": trace(checkpoint, tmp_path_factory.mktemp("traced"), opset)
        for opset in (None, 23)
    }


def trace(checkpoint, folder, opset, dtype=torch.float32):
    model, path = build_model(checkpoint).to(dtype), folder / "traced.onnx"
    images = torch.zeros(2, 3, 224, 224, dtype=dtype)
    dynamic = ({0: torch.export.Dim("batch", min=1, max=64)},)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its exporter's internals
        program = torch.onnx.export(
            model,
            (images,),
            dynamo=True,
            dynamic_shapes=dynamic,
            input_names=["images"],
            output_names=["logits"],
            opset_version=opset,
            verbose=False,
        )
        program.save(str(path))
    return Traced(path, time.perf_counter() - started)


@pytest.fixture(scope="session")
def record(request):
    """Return a function that prints a result, and writes it to benchmarks/results/ where --record was given."""

    def write(name, result):
        shown = {key: value for key, value in result.items() if key != "samples_s"}
        print(f"\n{name}: {json.dumps(shown, indent=1)}")
        if request.config.getoption("--record", default=False):
            write_result(name, result)

    return write
