"""Emission against tracing, and the whole command. Run: make bench, which runs them all.

Emission folds and writes each weight once, so it is bound by memory bandwidth: 255 MB are read, multiplied and written.
Tracing runs the module symbolically first, which costs the same for a small network as for a large one.
"""

from __future__ import annotations

import io
import subprocess
import sys

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


def test_whole_command(benchmark, checkpoint, tmp_path, record):
    """Run `resnas export --arch small` as a user does: a new process, imports, verification and flushing included."""
    peaks = []

    def export():
        peaks.append(peak_memory("main()", "export", "--arch", "small", "--out", str(tmp_path / str(len(peaks)))))

    imports = peak_memory("import resnas_deploy.exporting.verify, resnas_deploy.runners.ort")
    benchmark.pedantic(export, rounds=3)
    weights, peak = checkpoint.nbytes, max(peaks) - imports
    assert peak <= 3 * weights
    record(
        "command",
        {
            "command": "resnas export --arch small",
            "seconds_median": benchmark.stats.stats.median,
            "weights_bytes": weights,
            "peak_bytes_beyond_imports": peak,
            "peak_over_weights": peak / weights,
        },
    )


WATCHED = """
import re, sys
from pathlib import Path
from resnas_deploy.cli.app import main
try:
    {code}
finally:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


def peak_memory(code, *arguments):
    """Return the bytes of the largest resident set that a new Python process reaches in running `code`."""
    command = [sys.executable, "-c", WATCHED.format(code=code), *arguments]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return int(result.stderr) * 1024
