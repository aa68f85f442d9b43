"""Tables of fine grids and of what spaces give, from the result files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from tabulated import interval, measured_on, percent, result, table

WAYS = {
    "shaped over demo": "shaped for this device, over `demo`",
    "evolved over demo": "evolved, over `demo`",
    "fine over demo": "a fine grid with mixers, over `demo`",
    "fine over fine-global": "the same, over its own subnets of `global` alone",
}
MIXERS = ("window7", "pooled2", "pooled4")
FAILED = "does not load"


def _settings(name: str, *, stack: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for found in result(name)["settings"].values():
        if (found["network"] == "stage 1") == stack:
            network = "" if stack else f"{found['network']}, "
            where = f"{found['runner']} {found['precision']}, {network}patch {found['patch']}, {found['pixels']} pixels"
            yield f"{where}, batch {found['batch']}", found["mixers"]


def _times(*, stack: bool) -> str:
    rows = {}
    for setting, mixers in _settings("fine-grids", stack=stack):
        cells = [interval(mixers[name]["time_over_global"]) if name in mixers else FAILED for name in MIXERS]
        rows[setting] = [f"{mixers['global']['ms']:.1f} ms", *cells]
    return table(("", "`global`", *(f"`{name}` over it" for name in MIXERS)), rows)


def fine_times() -> str:
    """Return what mixers take of global attention's time in a first stage."""
    return _times(stack=True)


def fine_networks() -> str:
    """Return the same of whole networks."""
    return _times(stack=False)


def fine_memory() -> str:
    """Return what mixers take of its memory, measured and as it is stated."""
    rows = {}
    for setting, mixers in _settings("fine-grids-memory", stack=True):
        whole = mixers["global"]
        cells = [
            f"{mixers[name]['peak_over_global']:.2f} ({mixers[name]['stated_over_global']:.2f})"
            if name in mixers
            else FAILED
            for name in MIXERS
        ]
        rows[setting] = [f"{whole['peak_bytes'] / 1e6:.0f} MB ({whole['stated_bytes'] / 1e6:.0f})", *cells]
    return table(("", "`global`", *(f"`{name}` over it" for name in MIXERS)), rows)


def compared() -> str:
    """Return what searches in other spaces gain over those in the paper-like one."""
    rows = {}
    for way, gains in result("spaces-compared")["compared"].items():
        entropy = gains["cross_entropy_at_equal_latency"]
        rows[WAYS[way]] = [
            percent(gains["top1_at_equal_latency"]),
            f"{entropy['mean']:+.3f} ({entropy['low']:+.3f} to {entropy['high']:+.3f})",
            *map(_latency, (gains["latency_at_equal_top1"], gains["latency_at_equal_cross_entropy"])),
        ]
    heads = ("top-1 at equal latency", "cross-entropy", "latency at equal top-1", "at equal cross-entropy")
    return table(("", *heads), rows)


def _latency(found: Mapping[str, Any]) -> str:
    """Return what latency is more over all seeds, or of those in which both fronts reach a quality."""
    if "mean" in found:
        return percent(found)
    return (
        "seeds apart: " + ", ".join(f"{value:.0%}" for value in found["by_seed"]) if found["by_seed"] else "never equal"
    )


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


def standard_error() -> str:
    """Return the standard error of top-1 on the images that subnets were judged by."""
    return f"{100 * result('spaces-compared')['standard_error_of_top1']:.1f} points"


TABLES: dict[str, Callable[[], str]] = {
    "fine-memory": fine_memory,
    "fine-networks": fine_networks,
    "fine-times": fine_times,
    "spaces-compared": compared,
    "spaces-found": found_fronts,
}
FIGURES: dict[str, Callable[[], str]] = {
    "spaces-standard-error": standard_error,
    **{f"on-{name}": partial(measured_on, name) for name in ("fine-grids", "spaces-compared")},
}
