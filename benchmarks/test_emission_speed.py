"""Emission against tracing. Run: make bench, which runs them all.

Emission folds and writes each weight once, so it is bound by memory bandwidth: 255 MB are read, multiplied and written.
Tracing runs the module symbolically first, which costs the same for a small network as for a large one.
"""

from __future__ import annotations

import io

import onnxruntime as ort
import torch

from resnas_deploy.batch import BatchRange
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.protobuf import write_model
from resnas_deploy.precision import PRECISIONS

ROUNDS = 5


def emitted(checkpoint):
    graph, file = emit(checkpoint, PRECISIONS["fp32"], BatchRange(1, 64)), io.BytesIO()
    write_model(graph.model, graph.weights, file)
    return file.getbuffer()


def test_emission(benchmark, checkpoint, traced, record):
    """From a checkpoint in memory to a serialised model in memory; the tracing is of the same run."""
    model = benchmark.pedantic(emitted, args=(checkpoint,), rounds=ROUNDS, warmup_rounds=1)
    ort.InferenceSession(bytes(model), providers=["CPUExecutionProvider"])  # what was timed is a whole model
    seconds = benchmark.stats.stats.median
    record(
        "emission",
        {
            "network": "small, fp32",
            "torch": torch.__version__,
            "emission_s": seconds,
            "tracing_s": {name: graph.seconds for name, graph in traced.items()},
            "tracing_over_emission": {name: graph.seconds / seconds for name, graph in traced.items()},
        },
    )
