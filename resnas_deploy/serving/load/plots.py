"""Plots of load tests."""

from __future__ import annotations

from pathlib import Path

from resnas_deploy.measuring.plots import COLOURS, new_figure, plain, write_figure
from resnas_deploy.serving.load.level import LevelResult
from resnas_deploy.serving.load.load_test import SHARES, LoadTestResult

_DRAWN = (50, 99)  # percentiles


def plot_sweep(found: LoadTestResult, path: Path, *, replace: bool = True) -> None:
    """Latency against throughput, and mean batch against throughput, a line for each protocol and kind of load."""
    figure, (latency, batch) = new_figure(2)
    lines: dict[str, list[LevelResult]] = {}
    for load in found.loads:
        if load.latencies_s:
            kind = "at once" if load.level.concurrency else "at a rate"
            lines.setdefault(f"{load.protocol}, {kind}", []).append(load)
    for number, (name, unordered) in enumerate(lines.items()):
        loads = sorted(unordered, key=lambda load: load.requests_per_second)
        colour, answers = COLOURS[number % len(COLOURS)], [load.requests_per_second for load in loads]
        for share, style in zip(_DRAWN, ("o-", "s--"), strict=True):
            found_ms = [load.percentile_ms(share) for load in loads]
            latency.plot(answers, found_ms, style, color=colour, label=f"{name}, p{share}", markersize=4)
        merged = [load.server.mean_batch if load.server else float("nan") for load in loads]
        batch.plot(answers, merged, "o-", color=colour, label=name, markersize=4)
    latency.set(title="Latency by throughput", ylabel="ms")
    batch.set(title="Batches that the server formed", ylabel="images in an execution, mean")
    for axis in (latency, batch):
        axis.set(xlabel="answers/s", xlim=(0, None), ylim=(0, None))
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize="small")
    figure.suptitle(plain(found.model), fontsize="small")
    rows: list[tuple[str, ...]] = [("load", "answers/s", *(f"p{share} ms" for share in SHARES), "failed")]
    for load in found.loads:
        figures = (f"{load.percentile_ms(share):.1f}" for share in SHARES)
        rows.append(
            (f"{load.level}, {load.protocol}", f"{load.requests_per_second:.1f}", *figures, str(len(load.failures)))
        )
    write_figure(figure, path, f"Load test of {found.model}", rows, replace=replace)
