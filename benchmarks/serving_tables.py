"""Tables and figures of serving, from the result files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from tabulated import interval, result, table

_LARGEST = "largest batch"  # how the rows of these begin
_ADDED = ("a request adds, ms (p50)", "of that client and gRPC", "queue", "Triton and the backend")
_AIM_MS = 2.0  # of what serving adds


def backend() -> str:
    """Return what serving adds to a runner's time."""
    columns = ("bare", "backend_adds", "request_adds")
    rows = {
        name: [f"{found[f'{what}_ms']:.2f}" for what in columns] for name, found in result("serving")["added"].items()
    }
    heads = ("bare runner, ms", "the backend adds, ms", "the whole gRPC request adds, ms")
    return table(("", *heads), rows)


def largest_batch() -> str:
    """Return what serving adds to the network's own run of one image, and to a bare runner's, by the largest batch."""
    found = result("serving-largest-batch")["settings"]
    small = {row["largest_batch"]: row for row in found if row["pages"] != "huge"}
    rows = {}
    for row in found:
        if row["pages"] == "huge" and row["row"].startswith(_LARGEST):
            other = small.get(row["largest_batch"])
            cells = [row["request_adds_ms"], *_parts(row), row["over_bare_ms"], other and other["over_bare_ms"]]
            rows[str(row["largest_batch"])] = [_ms(cell) for cell in cells] + [f"{row['resident_mb']:,.0f}"]
    own = ("in all over a bare runner, ms", "with pages of 4 KiB", "its process has, MB")
    return table(("largest batch", *_ADDED, *own), rows)


def served_otherwise() -> str:
    """Return the same of models that are served or asked in another way."""
    found = result("serving-largest-batch")["settings"]
    rows = {
        row["row"]: [_ms(cell) for cell in (row["request_adds_ms"], *_parts(row))]
        for row in found
        if not row["row"].startswith(_LARGEST)
    }
    return table(("largest batch 4", *_ADDED), rows)


def _parts(row: Mapping[str, Any]) -> list[float]:
    """Return the parts of the client, of the queue, and of all else in the server."""
    return [row["parts_ms"][name] for name in ("client", "queue", "server")]


def _ms(value: float | None) -> str:
    return " " if value is None else f"{value:.2f}"


def serving_adds() -> str:
    """Return the range of what serving adds, over largest batches, beside the aim."""
    rows = [row for row in result("serving-largest-batch")["settings"] if row["row"].startswith(_LARGEST)]
    ours = [row["parts_ms"]["queue"] + row["parts_ms"]["server"] for row in rows if row["pages"] == "huge"]
    client = [row["parts_ms"]["client"] for row in rows if row["pages"] == "huge"]
    whole = [row["over_bare_ms"] for row in rows if row["pages"] == "huge"]
    held = "under the aim of" if max(*ours, *whole) < _AIM_MS else "not all under the aim of"
    return (
        f"Triton and its backend add {_range(ours)} at p50, a client in Python and gRPC {_range(client)}; in all a "
        f"request takes {_range(whole)} more than a bare runner, {held} {_AIM_MS:g} ms"
    )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f} ms"


def runs_by_pages() -> str:
    """Return what a run takes in a process with huge pages, and in one with pages of 4 KiB: medians and ranges."""
    runs: dict[str, list[float]] = {}
    for row in result("serving-largest-batch")["settings"]:
        if row["row"].startswith(_LARGEST):
            runs.setdefault(row["pages"], []).extend(row["run_by_opening_ms"])
    huge, small = (
        f"{median(found):.1f} ms ({min(found):.1f} to {max(found):.1f} of {len(found)} processes)"
        for found in (runs["huge"], runs["4 KiB"])
    )
    return f"{huge} with huge pages and {small} with pages of 4 KiB"


def merged() -> str:
    """Return what dynamic batching gains."""
    rows = {
        name: [interval(found["throughput"]), f"{found['inferences']:,}", f"{found['executions']:,}"]
        for name, found in result("serving")["merged"].items()
    }
    return table(("", "throughput", "images", "executions"), rows)


def rolled() -> str:
    """Return how many clients asked for how long while a version changed, and how often they were answered."""
    found = result("serving")["rolling"]
    answers = sum(found["answers"].values())
    return f"{found['clients']} clients asked for {found['seconds']} s and had {answers:,} answers"


def load_test() -> str:
    """Return our load test's figures over perf_analyzer's."""
    found = result("serving")["perf_analyzer"]
    return f"throughput {interval(found['throughput'])}, median latency {interval(found['p50'])}"


TABLES: dict[str, Callable[[], str]] = {
    "backend": backend,
    "largest-batch": largest_batch,
    "merged": merged,
    "served-otherwise": served_otherwise,
}
FIGURES: dict[str, Callable[[], str]] = {
    "load-test": load_test,
    "rolled": rolled,
    "runs-by-pages": runs_by_pages,
    "serving-adds": serving_adds,
}
