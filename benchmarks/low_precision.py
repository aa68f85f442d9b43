"""int8 against fp32 on the CPU, and bf16 through OpenVINO against a graph that PyTorch traced, interleaved.

Run on an idle machine: .venv/bin/python benchmarks/low_precision.py
Writes results/low-precision.json: small (untrained), batch 1 and 16; and accuracy of the trained demo network.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from conftest import trace
from recording import ratio, write_result
from test_where_time_goes import profile

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.timing import time_interleaved, timed
from resnas_deploy.runners.base import Options, usable_cores
from resnas_deploy.runners.registry import RUNNERS, graph_runner
from resnas_deploy.weights.checkpoint import load, untrained

ROOT = Path(__file__).parents[1]
OPENINGS, ROUNDS = 4, {1: 40, 16: 10}  # of each opening


def measured(first, second, batch):
    """Time of the second over that of the first; each a runner's kind, an artifact and perhaps another graph."""
    samples = ([], [])
    images = noise(batch, 224)
    for opening in range(OPENINGS):
        opened = [
            RUNNERS[name].open(artifact, Options(usable_cores(), model, shares_cores=True))
            for name, artifact, model in (first, second)
        ]
        steps = {str(number): timed(runner.step(images)) for number, runner in enumerate(opened)}
        found = time_interleaved(steps, ROUNDS[batch], np.random.default_rng(opening)).samples
        for number, into in enumerate(samples):
            into.extend(found[str(number)])
        for runner in opened:
            runner.close()
    return ratio(samples[1], samples[0])


def main() -> None:
    """Measure everything and write the result file."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = untrained(PUBLISHED["small"].arch)
        made = {
            precision: export(
                lambda: checkpoint,
                Request("small", Path(folder) / precision, precision, verify_on=None),
                lambda _: None,
            )
            for precision in ("fp32", "int8", "bf16")
        }
        traced = trace(checkpoint, Path(folder), None).path.read_bytes()
        for batch in ROUNDS:
            for runner in ("ort-cpu", "openvino"):
                name = f"int8 over fp32, {runner}, batch {batch}"
                found[name] = measured((runner, made["fp32"], None), (runner, made["int8"], None), batch)
                print(name, found[name], flush=True)
            name = f"emitted bf16 over traced, both computed in bf16 by openvino, batch {batch}"
            found[name] = measured(
                ("openvino-bf16", made["fp32"], traced), ("openvino-bf16", made["bf16"], None), batch
            )
            print(name, found[name], flush=True)
        spent = {name: profile(made[name].model, 16, Path(folder)) for name in ("fp32", "int8")}
        accuracy = demo_accuracy(Path(folder))
    write_result(
        "low-precision",
        {"network": "small, untrained", "ratios": found, "ort_batch16_ms_by_operator": spent, "demo": accuracy},
    )


def demo_accuracy(folder):
    """Top-1 of the trained demo network in each low precision, by the export's own verification."""
    checkpoint, rows = load(ROOT / "examples" / "demo" / "checkpoint.safetensors"), {}
    for precision in ("int8", "fp8"):
        request = Request(
            "demo", folder / f"demo-{precision}", precision, verify_on=graph_runner("", precision), threads=1
        )
        rows[precision] = export(lambda: checkpoint, request, lambda _: None).manifest.verification.to_json()
    return rows


if __name__ == "__main__":
    main()
