"""Measures the network of examples/demo again in the result files that have a row of it: for a new checkpoint.

Run: .venv/bin/python benchmarks/trained_demo.py
The other rows of results/smoothing.json, precision-error.json, own-arithmetic.json and low-precision.json stay as they
were measured; each file then says on which machine this row was (`trained_demo_machine`). A minute.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import low_precision
import numpy as np
import own_arithmetic
import precision_error
import smoothing
from recording import RESULTS

from resnas_deploy.data.demo import demo_images
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.images.preprocessing import preprocess
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.weights.checkpoint import load

ROOT = Path(__file__).parents[1]


def changed(name, change):
    """Change a result file by a function of its content."""
    path = RESULTS / f"{name}.json"
    content = json.loads(path.read_text())
    change(content)
    content["trained_demo_machine"] = this_machine(usable_cores()).to_json()
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")
    print(name, flush=True)


def main() -> None:
    """Measure and write each file."""
    demo, val = load(ROOT / "examples" / "demo" / "checkpoint.safetensors"), demo_images()[1]
    images = np.stack([preprocess(val.image(index), demo.task.preprocessing) for index in range(len(val.labels))])

    def of_smoothing(content):
        content["networks"]["demo"] = smoothing.measure(demo, (images, val.labels))

    def of_errors(content):
        content["errors"]["trained demo"] = precision_error.measure(demo, Path(folder))
        for run in content["worst"]:
            content["worst"][run] = max(row[run] for row in content["errors"].values())

    def of_arithmetic(content):
        content["networks"]["trained demo"] = own_arithmetic.measure(demo, Path(folder))

    def of_low_precision(content):
        content["demo"] = low_precision.demo_accuracy(Path(folder))

    with tempfile.TemporaryDirectory() as folder:
        changed("smoothing", of_smoothing)
        changed("precision-error", of_errors)
        changed("own-arithmetic", of_arithmetic)
        changed("low-precision", of_low_precision)


if __name__ == "__main__":
    main()
