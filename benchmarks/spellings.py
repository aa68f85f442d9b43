"""The spellings of the graph on runtimes for CPUs, each beside the one that is emitted for them.

Run on an idle machine: .venv/bin/python benchmarks/spellings.py
Writes results/spellings.json: time over that of the emitted graph, interleaved, for small in fp32.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from recording import ratio, write_result

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.graph.spelling import FOR_RUNTIMES, SPELLINGS
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.timing import time_interleaved, timed
from resnas_deploy.runners.base import Options, usable_cores
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained

ROUNDS = {1: 80, 16: 20}


def artifacts(folder):
    """Export an artifact of each spelling, every one verified."""
    checkpoint = untrained(PUBLISHED["small"].arch)
    for name, spelling in SPELLINGS.items():
        request = Request(name, folder / name, spelling=spelling, verify_on=RUNNERS["ort-cpu"], threads=usable_cores())
        yield name, export(lambda: checkpoint, request, lambda _: None)


def main() -> None:
    """Measure every spelling on both runtimes and write the result file."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        made = dict(artifacts(Path(folder)))
        for runner in ("ort-cpu", "openvino"):
            opened = {
                name: RUNNERS[runner].open(artifact, Options(usable_cores(), shares_cores=True))
                for name, artifact in made.items()
            }
            for batch, rounds in ROUNDS.items():
                images = noise(batch, 224)
                steps = {name: timed(network.step(images)) for name, network in opened.items()}
                samples = time_interleaved(steps, rounds, np.random.default_rng(0)).samples
                emitted = samples[FOR_RUNTIMES.name]
                found[f"{runner} batch {batch}"] = {
                    name: ratio(times, emitted) for name, times in samples.items() if name != FOR_RUNTIMES.name
                }
                print(runner, batch, found[f"{runner} batch {batch}"], flush=True)
            opened.clear()
    write_result("spellings", {"network": "small, fp32", "rounds": ROUNDS, "time_over_emitted": found})


if __name__ == "__main__":
    main()
