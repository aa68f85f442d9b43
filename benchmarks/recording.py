"""Result files: schema, machine, library versions, and what was measured; written where they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import stats

from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.statistics import ratio_interval
from resnas_deploy.runners.base import usable_cores

RESULTS = Path(__file__).parent / "results"
SCHEMA = 1
LIBRARIES = ("torch", "onnx", "onnxruntime", "openvino", "numpy")


def write_result(name: str, result: Mapping[str, object]) -> None:
    """Write benchmarks/results/NAME.json."""
    document = {
        "schema": SCHEMA,
        "machine": this_machine(usable_cores()).to_json(),
        "libraries": {library: version(library) for library in LIBRARIES},
        **result,
    }
    with atomic_file(RESULTS / f"{name}.json") as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n")


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return the median over rounds of ours / theirs, with a 95% bootstrap interval of that median."""
    found = ratio_interval([ours], [theirs], np.random.default_rng(0))
    return {"ratio": found.value, "low": found.low, "high": found.high}


def spread(values: Sequence[float]) -> dict[str, object]:
    """Return the mean over seeds with a 95% interval (Student's), and the values."""
    mean, error = float(np.mean(values)), float(stats.sem(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return {"mean": mean, "low": mean - half, "high": mean + half, "by_seed": list(map(float, values))}
