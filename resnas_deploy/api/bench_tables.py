"""The tables of what was measured."""

from __future__ import annotations

from resnas_deploy.api.html import Table
from resnas_deploy.measuring.compare import Comparisons
from resnas_deploy.measuring.extras import KINDS
from resnas_deploy.measuring.gate import Change, Gated
from resnas_deploy.measuring.machine.instructions import in_words
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.report import Report
from resnas_deploy.measuring.statistics import Interval


def measurements_table(report: Report) -> Table:
    """Return the figures of a report, a row for each configuration. The title says how they were measured."""
    measured = report.measurements
    columns = ["artifact", "what", "runner", "computes", "batch"]
    streams = any(item.configuration.streams > 1 for item in measured)
    latencies = len({item.configuration.latency for item in measured}) > 1
    threads = report.throughput is not None  # which are no equal share then
    columns += ["streams"] * streams + ["threads"] * threads + ["latency"] * latencies
    columns += ["p50 ms", "±", "p90 ms", "p99 ms", "images/s"]
    ceilings = any(item.of_ceiling is not None for item in measured)
    columns += ["of ceiling"] * ceilings
    energies = list(dict.fromkeys(energy.meter for item in measured for energy in item.energy))
    columns += [f"J/image, {meter}" for meter in energies]
    rows = []
    for item in measured:
        c = item.configuration
        row = [c.source, c.label, c.runs_on, c.computes or "-", str(c.batch)]
        row += [str(c.streams)] * streams + [str(c.threads)] * threads + [c.latency] * latencies
        row += _figures(item)
        row += ["-" if item.of_ceiling is None else f"{item.of_ceiling:.0%}"] * ceilings
        joules = {energy.meter: f"{energy.joules_per_image:.3g}" for energy in item.energy}
        rows.append(row + [joules.get(meter, "-") for meter in energies])
    return Table(_how(report), columns, rows, 4)


def throughput_table(report: Report) -> Table:
    """Return the best setting of each artifact on each runner, and what it gains; no rows where none were searched."""
    searches = report.throughput or ()
    columns = ["artifact", "what", "runner", "streams", "threads", "batch", "images/s", "95% interval"]
    columns += ["p50 ms", "p99 ms", "over 1 stream", "over its best batch"]
    rows = []
    for search in searches:
        row = [search.source, search.label, search.runner]
        if best := search.best:
            rate = best.images_per_second
            row += [str(best.streams), str(best.threads), str(best.batch), f"{rate.value:.1f}"]
            row += [f"{rate.low:.1f} to {rate.high:.1f}", f"{best.batch_p50_ms:.1f}", f"{best.batch_p99_ms:.1f}"]
            row += [_gain(best.over_smallest_batch, best.smallest_batch)]
            row += [_gain(best.over_one_stream, best.one_stream_batch)]
        else:
            row += ["-"] * 9
        rows.append(row)
    tried, seconds = sum(len(search.tried) for search in searches), sum(search.seconds for search in searches)
    most = sum(search.most_settings for search in searches)
    title = f"Most throughput: {tried} settings of at most {most} tried in {seconds:.0f} s; ms are of a batch"
    return Table(title, columns, rows, 3)


def _gain(over: Interval, batch: int) -> str:
    return f"{over.value:.2f} ({over.low:.2f} to {over.high:.2f}), batch {batch}"


def shares_table(report: Report) -> Table:
    """Return the share of time by kind of block; no rows where no runtime could tell."""
    rows = [
        [c.label, c.runs_on, str(c.batch), *(f"{item.shares[kind]:.1%}" for kind in KINDS)]
        for item in report.measurements
        if item.shares and (c := item.configuration)
    ]
    return Table("Share of time, by the runtime's own profile", ("what", "runner", "batch", *KINDS), rows, 2)


def comparisons_table(found: Comparisons) -> Table:
    """Return how B compares with A, a row for each batch size."""
    columns = ("batch", "latency", "verdict", "A ms", "B ms", "B/A", "95% interval")
    rows = [
        (
            str(item.first.configuration.batch),
            item.first.configuration.latency,
            item.verdict,
            f"{item.first.percentile(50):.1f}",
            f"{item.second.percentile(50):.1f}",
            f"{item.ratio.value:.3f}",
            f"{item.ratio.low:.3f} to {item.ratio.high:.3f}",
        )
        for item in found.comparisons
    ]
    names = [f"{item.network.label} on {item.kind.name}" for item in (found.first, found.second)]
    title = f"A: {names[0]}; B: {names[1]}; on {found.measured.machine.described}"
    return Table(title, columns, rows, 3)


def changes_table(found: Gated) -> Table:
    """Return what the gate found, a row for each configuration."""
    settings = [change.configuration for change in found.changes]
    streams = any(c.streams > 1 for c in settings)
    threads = len({c.threads * c.streams for c in settings}) > 1  # as of settings that were searched
    columns = ("baseline", "now", "now/baseline", "95% interval", "openings", "")
    return Table(
        f"Time relative to the reference workload, beside {found.baseline}{_on(found.instructions)}",
        ("what", "runner", "batch", *["streams"] * streams, *["threads"] * threads, "latency", *columns),
        [_changed(change, streams, threads) for change in found.changes],
        2,
    )


def _changed(change: Change, streams: bool, threads: bool) -> list[str]:
    c = change.configuration
    return [
        *(c.label, c.runs_on, str(c.batch), *[str(c.streams)] * streams, *[str(c.threads)] * threads, c.latency),
        *(f"{change.then.value:.3f}", f"{change.now.value:.3f}", f"{change.ratio.value:.3f}"),
        *(f"{change.ratio.low:.3f} to {change.ratio.high:.3f}", str(change.openings), change.verdict),
    ]


def _how(report: Report) -> str:
    rounds = report.reference.samples_s
    threads = max((c.threads * c.streams for c in (item.configuration for item in report.measurements)), default=0)
    how = f"{sum(map(len, rounds))} interleaved runs in {len(rounds)} openings, {threads} threads"
    return f"{how}{_on(report.machine.instructions)}"


def _on(instructions: str) -> str:
    return f", a CPU with {in_words(instructions)}" if instructions else ""


def _figures(item: Measurement) -> list[str]:
    if item.failure is not None or not item.figures:
        return [item.failure or "-", "-", "-", "-", "-"]
    figures = item.figures
    throughput = f"{figures.images_per_second:.1f}"
    if item.batches_s is not None:
        times = [f"{item.batch_percentile(percent):.1f}" for percent in (50, 90, 99)]
        return [times[0], "-", *times[1:], throughput]
    if item.configuration.streams > 1:  # a sample is of several batches at once, no latency
        return ["-", "-", "-", "-", throughput]
    return [
        f"{figures.p50_ms:.1f}",
        _within(figures.repeats_within) if len(item.samples_s) > 1 else "-",  # one opening tells nothing of others
        f"{figures.p90_ms:.1f}",
        f"{figures.p99_ms:.1f}",
        throughput,
    ]


def _within(share: float) -> str:
    return f"{share:.1%}" if share < 1 else ">100%"  # of so few runs, on a busy machine, that they tell nothing
