"""Shape a part of the space `small` for several runtimes, and for RTX GPUs by the kernels of the builder.

Run: .venv/bin/python benchmarks/spaces_shaped.py [NAME ..] [--minutes N] [--store FILE]
Writes results/shaping-NAME.json of each of `SETTINGS` that is measured to the end: one thread, batch 1, 8 openings; of
RTX engines batch 1 to 64. What was measured is kept in the store, so that it may be run in parts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recording import write_result

import resnas_deploy as resnas

SPACE = Path(__file__).parent / "spaces" / "parts.toml"
SETTINGS = {
    "ort-cpu-fp32": {"runner": "ort-cpu", "precision": "fp32", "threads": 1},
    "ort-cpu-int8": {"runner": "ort-cpu", "precision": "int8", "threads": 1},
    "openvino-fp32": {"runner": "openvino", "precision": "fp32", "threads": 1},
    "openvino-int8": {"runner": "openvino", "precision": "int8", "threads": 1},
    "rtx-fp16": {"target": "tensorrt-rtx", "precision": "fp16", "batch": 64},
    "rtx-int8": {"target": "tensorrt-rtx", "precision": "int8", "batch": 64, "attention": "kept"},
    "rtx-int8-attention": {"target": "tensorrt-rtx", "precision": "int8", "batch": 64, "attention": "quantised"},
}
OPENINGS = 8

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[*SETTINGS, []])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--store", default="shaping.sqlite")
    asked = parser.parse_args()
    for name in asked.names or SETTINGS:
        found = resnas.space.shape(
            SPACE, openings=OPENINGS, minutes=asked.minutes, store=asked.store, progress=print, **SETTINGS[name]
        )
        if found.complete:
            write_result(f"shaping-{name}", {"shaping": found.to_json()})
        print(found.counts(), *found.notes, sep="\n")
