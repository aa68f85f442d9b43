"""Result files: schema, machine, library versions, and what was measured; written where they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from resnas_deploy.atomic import atomic_file
from resnas_deploy.bench.machine import this_machine
from resnas_deploy.runners.base import usable_cores

RESULTS = Path(__file__).parents[2] / "bench" / "results"
SCHEMA = 1
LIBRARIES = ("torch", "onnx", "onnxruntime", "openvino", "numpy")
RESAMPLES = 2000


def write_result(name: str, result: Mapping[str, object]) -> None:
    """Write bench/results/NAME.json."""
    document = {
        "schema": SCHEMA,
        "machine": this_machine(usable_cores()).to_json(),
        "libraries": {library: version(library) for library in LIBRARIES},
        **result,
    }
    with atomic_file(RESULTS / f"{name}.json") as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n")


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """The median over rounds of ours / theirs, with a 95% bootstrap interval of that median."""
    ratios, rng = np.array(ours) / np.array(theirs), np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (RESAMPLES, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return {"ratio": float(np.median(ratios)), "low": float(low), "high": float(high)}
