"""Measuring: latency and throughput of artifacts, and two of them compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from resnas_deploy.api.bench_tables import (
    comparisons_table,
    measurements_table,
    shares_table,
    throughput_table,
)
from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.onnx_file import OnnxFile
from resnas_deploy.engines.finding import AnyNetwork, open_network
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.measuring import compare as comparing
from resnas_deploy.measuring import report as reporting
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.measure import measure
from resnas_deploy.measuring.peers import beside_peers
from resnas_deploy.measuring.plan import RUNS, Effort, subjects_for
from resnas_deploy.measuring.plots import check_plot
from resnas_deploy.measuring.report_plot import plot_report
from resnas_deploy.measuring.statistics import LEAST_OPENINGS
from resnas_deploy.measuring.throughput import AUTO, MINUTES
from resnas_deploy.measuring.throughput.found import BestSetting
from resnas_deploy.measuring.throughput.limits import Limits
from resnas_deploy.measuring.throughput.measure import measure_throughput
from resnas_deploy.measuring.throughput.plot import plot_throughput
from resnas_deploy.progress import Progress, silent


@dataclass(frozen=True)
class Report(reporting.Report, Tabular):
    """What was measured together, interleaved, on one machine: raw samples, figures, and the machine's state."""

    @classmethod
    def of(cls, report: reporting.Report) -> Self:
        """Return a report with the methods of this class."""
        return cls(**{field.name: getattr(report, field.name) for field in fields(report)})

    @checked
    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the JSON document. Raise `BadInput` where a file is there that `force` does not replace."""
        self.write(Path(path), replace=force)

    @checked
    def plot(self, path: str | Path, *, force: bool = False) -> None:
        """Draw latency, throughput and the shares of time, or what a search for throughput has tried.

        The file is a .png, .svg, or .html that answers to the pointer. Raise `BadInput` for another suffix, or where a
        file is there that `force` does not replace, `NotAvailable` where a .png or .svg needs matplotlib.
        """
        check_plot(Path(path), moving=True)
        if self.throughput is not None:
            plot_throughput(self, Path(path), replace=force)
            return
        plot_report(self, Path(path), replace=force)

    @property
    def best(self) -> tuple[BestSetting, ...]:
        """The setting of most throughput of each artifact on each runner, where `streams` was "auto"."""
        return tuple(search.best for search in self.throughput or () if search.best)

    def throughput_table(self) -> Table:
        """Return the best settings, and what they gain; no rows where none were searched."""
        return throughput_table(self)

    def table(self) -> Table:
        """Return the figures, a row for each configuration."""
        return measurements_table(self)

    def shares_table(self) -> Table:
        """Return the share of time by kind of block; no rows where none was asked for, or no runtime could tell."""
        return shares_table(self)

    def _repr_html_(self) -> str:
        shares = self.shares_table()
        best = self.throughput_table()
        tables = [best] * bool(best.rows) + [self.table()] + [shares] * bool(shares.rows)
        return "".join(each.html() for each in tables)


@dataclass(frozen=True)
class Comparisons(comparing.Comparisons, Tabular):
    """Artifact B beside artifact A, at each batch size, and what was measured for it."""

    def table(self) -> Table:
        """Return how B compares with A, a row for each batch size."""
        return comparisons_table(self)


@checked
def bench(
    artifacts: AnyNetwork | Sequence[AnyNetwork] = (),
    *,
    runners: Sequence[str] = (),
    engine: str | Path = "",
    batches: Sequence[int] = (),
    runs: int = RUNS,
    openings: int | None = None,
    streams: str | Sequence[int] = (1,),
    minutes: float | None = None,
    latency_limit: float | None = None,
    peers: Sequence[str] = (),
    threads: int = 0,
    device: str = "",
    cuda_graph: bool = False,
    tf32: bool = False,
    engine_cache: str | Path | None = None,
    shares: bool = False,
    progress: Progress = silent,
) -> Report:
    """Time artifacts on runtimes at several batch sizes, all interleaved, so that drift of the machine hits all alike.

    Args:
        artifacts: folders, engines in them (.engine, .pt2, .onnx, .xml), bare ONNX files, or opened artifacts.
        runners: names of runtimes; the first that can run every precision where none is named, or that of an engine.
        engine: of one artifact, the engine to measure: the beginning of its ID, or its file. Where none is named, a
            runner that loads one takes an engine that is tuned for each of the batches, or builds it.
        batches: sizes; those of 1, 8 and 32 that every artifact takes where none is given.
        runs: timed runs of each configuration, over all openings.
        openings: times that every runtime is opened anew; 6, or as many as `runs` where that is fewer.
        streams: numbers of sessions that run at once, for throughput. They share the threads. Or "auto": find the
            number, the threads of each and the batch, of `batches` if any, of most throughput; `Report.best` has them.
        minutes: with `streams` "auto": of the whole search; 2 where none are given.
        latency_limit: with `streams` "auto": milliseconds that 99 of 100 batches of the best must stay within.
        peers: names of other networks to measure beside, at random weights: deit-base, ..
        threads: of the CPU; 0 takes every core.
        device: cpu, cuda or cuda:N; the runner's usual one where none is given.
        cuda_graph: on a GPU, capture the network once and replay it.
        tf32: on a GPU, let float32 be rounded to TF32.
        engine_cache: with ort-tensorrt, a folder to keep engines and timings in, and to take them from.
        shares: find out where the time goes, by kind of block.
        progress: told what is being done, outside of what is timed.

    Return what was measured: times in seconds, figures in milliseconds and images a second. Ctrl-C ends it early, and
    the report says so. Raise `BadInput` for what is wrong or does not go together, `NotAvailable` where a runtime, a
    device or a package is missing.
    """
    given = several(artifacts)
    if not given and not peers:
        raise BadInput("there must be something to measure, found no artifact; name folders, or give `peers`")
    if streams != AUTO and (isinstance(streams, str) or not streams):
        told = shown(streams) if streams else "none"
        raise BadInput(f"`streams` must be numbers of sessions such as 1,2, or {AUTO}, found {told}")
    if streams != AUTO and not (minutes is None and latency_limit is None):
        raise BadInput(
            f"`{'latency_limit' if minutes is None else 'minutes'}` must come with `streams` {AUTO}, "
            f"found {', '.join(map(str, streams))}"
        )
    effort = Effort(runs, openings, threads, device, cuda_graph, tf32, str(engine_cache or ""))
    if engine and len(given) != 1:
        raise BadInput(
            f"`engine` must be of one artifact, found {len(given)}; name the engines' own files as `artifacts` instead"
        )
    opened = [open_network(item, engine) for item in given]
    with beside_peers([artifact for artifact, _ in opened], peers, progress) as networks:
        engines = [*(file for _, file in opened), *[None] * (len(networks) - len(opened))]
        subjects = subjects_for(list(zip(networks, engines, strict=True)), runners, device)
        if isinstance(streams, str):
            limits = Limits(MINUTES if minutes is None else minutes, latency_limit)
            found = measure_throughput(effort, subjects, batches, limits, Extras(energy=True, shares=shares), progress)
            return Report.of(found)
        plan = effort.plan(subjects, batches, streams)
        return Report.of(measure(plan, Extras(energy=True, shares=shares, ceilings=True), progress))


@checked
def compare(
    first: AnyNetwork,
    second: AnyNetwork,
    *,
    runners: Sequence[str] = (),
    batches: Sequence[int] = (1,),
    runs: int = RUNS,
    openings: int | None = None,
    threads: int = 0,
    device: str = "",
    cuda_graph: bool = False,
    tf32: bool = False,
    engine_cache: str | Path | None = None,
    progress: Progress = silent,
) -> Comparisons:
    """Measure two artifacts, A and B, interleaved, and say whether B is faster, slower, or whether that cannot be told.

    The parameters are those of `bench`, and A and B may be engines or bare ONNX files; of two `runners` the first
    runs A and the second runs B. The interval is of 95 per cent, by the bootstrap over openings of the runtimes.
    Ctrl-C ends it early, and the result says so. Raise what `bench` raises.
    """
    both = [open_network(first), open_network(second)]
    if len(names := list(dict.fromkeys(runners))) > 2:
        raise BadInput(f"there must be one of `runners`, or one for A and one for B, found {len(names)}")
    if names:
        ends = zip(both, (names[0], names[-1]), strict=True)
        sides = [subjects_for([each], [name], device)[0] for each, name in ends]
    else:
        sides = list(subjects_for(both, (), device))
    plan = Effort(runs, openings, threads, device, cuda_graph, tf32, str(engine_cache or "")).plan(
        sides, batches, least_openings=LEAST_OPENINGS
    )
    found = comparing.compare(plan, progress)
    return Comparisons(found.first, found.second, found.comparisons, found.measured)


def several(artifacts: AnyNetwork | Sequence[AnyNetwork]) -> Sequence[AnyNetwork]:
    """Return one network as several."""
    return [artifacts] if isinstance(artifacts, (str, Path, Artifact, OnnxFile)) else artifacts
