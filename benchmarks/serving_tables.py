"""Tables and figures of serving, from the result files."""

from __future__ import annotations

from collections.abc import Callable

from tabulated import interval, result, table


def backend() -> str:
    """Return what serving adds to a runner's time."""
    columns = ("bare", "backend_adds", "request_adds")
    rows = {
        name: [f"{found[f'{what}_ms']:.2f}" for what in columns] for name, found in result("serving")["added"].items()
    }
    heads = ("bare runner, ms", "the backend adds, ms", "the whole gRPC request adds, ms")
    return table(("", *heads), rows)


def largest_batch() -> str:
    """Return what serving adds to the time of one image, by the largest batch."""
    found = {(row["pages"], row["largest_batch"]): row for row in result("serving-largest-batch")["settings"]}
    rows = {}
    for most in [most for pages, most in found if pages == "huge"]:
        ours, small = found["huge", most], found.get(("4 KiB", most))
        cells = [ours["request_adds_ms"], ours["more_than_of_1_ms"], small and small["request_adds_ms"]]
        rows[str(most)] = [*(" " if cell is None else f"{cell:.2f}" for cell in cells), f"{ours['resident_mb']:,.0f}"]
    heads = ("a request adds, ms", "more than of 1, ms", "with pages of 4 KiB it adds, ms", "its process has, MB")
    return table(("largest batch", *heads), rows)


def process_spread() -> str:
    """Return how far apart processes of one graph are, with pages of 4 KiB and with huge ones."""
    added: dict[str, list[float]] = {}
    for row in result("serving-largest-batch")["settings"]:
        added.setdefault(row["pages"], []).extend(row["by_opening_ms"])
    small, huge = added["4 KiB"], added["huge"]
    return (
        f"{len(small)} processes with pages of 4 KiB were {max(small) - min(small):.1f} ms apart, and {len(huge)} with "
        f"huge pages {max(huge) - min(huge):.1f} ms"
    )


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


TABLES: dict[str, Callable[[], str]] = {"backend": backend, "largest-batch": largest_batch, "merged": merged}
FIGURES: dict[str, Callable[[], str]] = {
    "load-test": load_test,
    "process-spread": process_spread,
    "rolled": rolled,
}
