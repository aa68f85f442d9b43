"""Tables of the search for throughput, from the result files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tabulated import interval, result, table

NAMES = {"ort-cpu": "ONNX Runtime", "openvino": "OpenVINO"}


def throughput() -> str:
    """Return the best setting of each precision on each runner, what it gains, and what finding it cost."""
    rows = {}
    for name, found in result("throughput")["searched"].items():
        precision, runner = name.split()
        rate = found["images_per_second"]
        rows[f"{precision}, {NAMES[runner]}"] = [
            setting(found["setting"]),
            f"{rate['value']:.1f} ({rate['low']:.1f} to {rate['high']:.1f})",
            f"{found['batch_p50_ms']:.0f} / {found['batch_p99_ms']:.0f}",
            interval(found["over_one"]),
            f"{interval(found['over_single'])}, batch {found['single_batch']}",
            f"{found['settings']} settings, {found['search_s']:.0f} s of {found['whole_s']:.0f} s",
        ]
    heads = ("small", "best", "images/s", "p50 / p99 ms of a batch", "over one stream, batch 1", "over its best batch")
    return table((*heads, "the search"), rows)


def grid() -> str:
    """Return what a whole grid finds, beside what the search finds."""
    found = result("throughput-grid")
    search = found["search"]
    rows = {
        "the grid's best": [setting(found["best"]), f"{found['settings']} settings in {found['seconds']:.0f} s", ""],
        "the search's": [
            setting(found["searched"]),
            f"{search['settings']} settings in {search['search_s']:.0f} s",
            interval(found["searched_over_best"]),
        ],
    }
    return table(
        (f"{found['network']}, {NAMES[found['runner']]}", "setting", "took", "throughput over the grid's best"), rows
    )


def setting(found: Mapping[str, int]) -> str:
    """Return a setting in words."""
    return f"{found['streams']} x {found['threads']} threads, batch {found['batch']}"


TABLES: dict[str, Callable[[], str]] = {"throughput": throughput, "throughput-grid": grid}
