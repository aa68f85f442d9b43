"""Result files and Markdown tables, for the functions that write one from the other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnas_deploy.measuring.machine.instructions import in_words

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TRACED = ("traced, opset of torch", "traced, opset 23")
SETTINGS = ("ONNX Runtime, batch 1", "ONNX Runtime, batch 16", "OpenVINO, batch 1", "OpenVINO, batch 16")

Rows = Mapping[str, Sequence[str]]  # the cells of each row, by what stands before them


def result(name: str) -> dict[str, Any]:
    """Return what a result file holds."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def table(heads: Sequence[str], rows: Rows) -> str:
    """Return a Markdown table; the first of the heads is that of the rows' names."""
    lines = [heads, *([name, *cells] for name, cells in rows.items())]
    written = ["".join(f"| {cell} " if cell else "| " for cell in line) + "|" for line in lines]
    return "\n".join([written[0], "|" + "---|" * len(heads), *written[1:]])


def interval(found: Mapping[str, float]) -> str:
    """Return a ratio with its interval."""
    return f"{found['ratio']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def measured_on(name: str) -> str:
    """Return the processor of a result file with its instruction set, if the file is of a time that tells it."""
    machine = result(name)["machine"]
    instructions = machine.get("instructions", "")
    cpu = str(machine["cpu"].partition(" (cpu family")[0])
    return f"{cpu} with {in_words(instructions)}" if instructions else cpu


def percent(found: Mapping[str, float]) -> str:
    """Return a mean with its interval, in per cent."""
    return f"{found['mean']:.1%} ({found['low']:.1%} to {found['high']:.1%})"
