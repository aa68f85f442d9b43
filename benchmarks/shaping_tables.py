"""What shaping a part of the space `small` dropped, and why, from results/shaping-*.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulated import measured_on, result, table

NAMES = {
    "ort-cpu-fp32": "ONNX Runtime fp32",
    "ort-cpu-int8": "ONNX Runtime int8",
    "openvino-fp32": "OpenVINO fp32",
    "openvino-int8": "OpenVINO int8",
    "rtx-fp16": "RTX fp16",
    "rtx-int8": "RTX int8",
    "rtx-int8-attention": "RTX int8, attention too",
}
TIMED = tuple(name for name in NAMES if not name.startswith("rtx"))


def shaped(names: tuple[str, ...]) -> str:
    """Return a row for each value that was looked at, with what became of it in each setting."""
    rows: dict[str, dict[str, str]] = {}
    for name in names:
        for dimension in result(f"shaping-{name}")["shaping"]["dimensions"]:
            if len(dimension["values"]) > 1:
                for each in dimension["values"]:
                    place = f"stage {dimension['stage']} {dimension['name']} {each['value']}"
                    rows.setdefault(place, {})[name] = _cell(each)
    cells = {place: [own.get(name, "") for name in names] for place, own in rows.items()}
    return table(("", *(NAMES[name] for name in names)), cells)


def _cell(found: Mapping[str, Any]) -> str:
    outcome = f"**{found['outcome']}**" if found["outcome"] in ("dropped", "added") else found["outcome"]
    if "kernels" in found:
        return f"{outcome}: {found['kernels']} kernels"
    if "ratio" not in found:
        return outcome
    ratio, value, beside = found["ratio"], found["value"], found["beside"]
    wider, narrower = max(value, beside), min(value, beside)
    return f"{outcome}: {wider}/{narrower} {ratio['value']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"


def timed_on() -> str:
    """Return the processor that was measured."""
    return measured_on(f"shaping-{TIMED[0]}")


TABLES = {
    "shaped-by-time": lambda: shaped(TIMED),
    "shaped-by-kernels": lambda: shaped(tuple(name for name in NAMES if name not in TIMED)),
}
FIGURES = {"shaped-on": timed_on}
