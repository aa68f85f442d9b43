"""Tables of fine grids and of what spaces give, from the result files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tabulated import interval, percent, result, table

WAYS = {"shaped": "shaped for this device", "evolved": "evolved", "fine": "mixers on a fine grid"}


def _settings(stack: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for found in result("fine-grids")["settings"].values():
        if (found["network"] == "stage 1") == stack:
            network = "" if stack else f"{found['network']}, "
            where = f"{found['runner']} {found['precision']}, {network}patch {found['patch']}, {found['pixels']} pixels"
            yield f"{where}, batch {found['batch']}", found["mixers"]


def _mixed(stack: bool) -> str:
    rows = {}
    names = [name for name in next(iter(_settings(True)))[1] if name != "global"]
    for setting, mixers in _settings(stack):
        whole = mixers["global"]
        rows[setting] = [
            f"{whole['ms']:.1f} ms, {whole['peak_bytes'] / 1e6:.0f} MB",
            *(
                f"{interval(mixers[name]['time_over_global'])}; {mixers[name]['peak_over_global']:.2f}"
                for name in names
            ),
        ]
    return table(("", "`global`", *(f"`{name}`: time; memory" for name in names)), rows)


def fine_grids() -> str:
    """Return what mixers take of global attention's time and memory in a first stage."""
    return _mixed(stack=True)


def fine_networks() -> str:
    """Return the same of whole networks."""
    return _mixed(stack=False)


def fine_statement() -> str:
    """Return how the memory that is stated goes with what was measured, in the stacks that take most."""
    rows = {}
    for setting, mixers in _settings(stack=True):
        if setting.startswith(("ort-cpu fp32", "openvino fp32")):
            rows[setting] = [
                f"{one['peak_bytes'] / 1e6:.0f} ({one['stated_bytes'] / 1e6:.0f})" for one in mixers.values()
            ]
    return table(("MB measured (stated)", *(f"`{name}`" for name in mixers)), rows)


def compared() -> str:
    """Return what searches in other spaces gain over those in the paper-like one."""
    found, rows = result("spaces-compared"), {}
    for way, gains in found["over_demo"].items():
        entropy = gains["cross_entropy_at_equal_latency"]
        rows[WAYS[way]] = [
            percent(gains["top1_at_equal_latency"]),
            f"{entropy['mean']:+.3f} ({entropy['low']:+.3f} to {entropy['high']:+.3f})",
            percent(gains["latency_at_equal_top1"]),
            percent(gains["latency_at_equal_cross_entropy"]),
        ]
    heads = ("top-1 at equal latency", "cross-entropy", "latency at equal top-1", "at equal cross-entropy")
    return table(("", *heads), rows)


def found_fronts() -> str:
    """Return the ends of each search's front, as they were measured."""
    rows = {}
    for one in result("spaces-compared")["searches"]:
        points = sorted((row["ms"], row) for row in one["finalists"])
        ends = (points[0][1], points[len(points) // 2][1], points[-1][1])
        rows[f"{one['space']}, seed {one['seed']}"] = [
            f"{row['ms']:.2f} ms: {row['top1']:.1%}, {row['cross_entropy']:.3f}" for row in ends
        ]
    return table(("", "fastest of the front", "in the middle", "slowest"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "fine-grids": fine_grids,
    "fine-networks": fine_networks,
    "fine-statement": fine_statement,
    "spaces-compared": compared,
    "spaces-found": found_fronts,
}
